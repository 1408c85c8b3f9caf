"""A reset: PostgreSQL notes the replay first, then the leases lose owner and bookmark.

In this order a crash in between costs nothing: the noted replay outranks the bookmarks that are
still there. Running hosts are fenced by the first step and give their ranges back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from projector.core.coverage import range_of
from projector.core.errors import SourceRecreated
from projector.core.lease import Lease
from projector.core.ranges import FeedRange
from projector.ports.feed import Clock
from projector.postgres.connections import Connections
from projector.postgres.ranges import stored_source
from projector.postgres.resets import accept_new_source, request_replay
from projector.settings import Settings
from projector.wiring import database, leases
from projector.wiring.account import Account, account
from projector.wiring.connecting import connection_options
from projector.wiring.targets import refuse_strangers


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """A reset that may still be looked at or called off.

    Attributes:
        token: the one lease meant; None means everything.
        follows: `_rid` of the container to follow from now on; None keeps the one followed.
    """

    settings: Settings
    clock: Clock
    opened: Account
    connections: Connections
    chosen: Sequence[Lease]
    token: str | None
    follows: str | None

    async def carry_out(self) -> Sequence[leases.Done]:
        """Does it.

        1. The container to follow, if it is another one. 2. The replays, in PostgreSQL.
        3. The leases, one by one.

        Raises:
            SourceRecreated: The container is another one and nobody said to follow it.
        """
        if self.follows is not None:
            await accept_new_source(self.connections, self.follows)
        await request_replay(self.connections, self.opened.container_rid, await self._ranges())
        return await leases.forget(self.opened.leases, self.chosen, now=self.clock.now())

    async def _ranges(self) -> Sequence[FeedRange] | None:
        if self.token is None:
            return None
        physical = await self.opened.source.physical_ranges()
        found = [range_of(lease, physical) for lease in self.chosen]
        return [keys for keys in found if keys is not None]


@asynccontextmanager
async def prepare_reset(
    settings: Settings, *, clock: Clock, token: str | None, accept_source: bool
) -> AsyncIterator[Reset]:
    """Looks at what a reset would change; nothing is written before `carry_out`.

    Raises:
        ConfigurationError: There is no lease of that token, or a host keeps one for another database.
        SchemaMismatch: There is no schema yet, so there is nothing to reset.
        SourceRecreated: The container is not the one that is copied, and `accept_source` is not set.
    """
    async with (
        database.target_url(settings) as url,
        Connections(connection_options(settings, url)) as connections,
        account(settings, clock=clock) as opened,
    ):
        await database.require_schema(url)
        await _check_source(connections, opened, accept_source=accept_source)
        chosen = leases.chosen(await opened.leases.list_leases(), token)
        await refuse_strangers(
            chosen, connections, clock=clock, expiration=settings.lease_expiration_seconds
        )
        yield Reset(
            settings=settings,
            clock=clock,
            opened=opened,
            connections=connections,
            chosen=chosen,
            token=token,
            follows=opened.container_rid if accept_source else None,
        )


async def _check_source(connections: Connections, opened: Account, *, accept_source: bool) -> None:
    async with connections.session() as session:
        followed = await stored_source(session)
    if followed is not None and followed != opened.container_rid and not accept_source:
        raise SourceRecreated(expected_rid=followed, found_rid=opened.container_rid)
