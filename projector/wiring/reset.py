"""A reset: PostgreSQL notes the replay first, then the leases lose owner and bookmark.

In this order a crash in between costs nothing: the noted replay outranks the bookmarks that are
still there. Running hosts are fenced by the first step and give their ranges back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from projector.core.coverage import range_of
from projector.core.errors import (
    ConfigurationError,
    OtherSource,
    ProjectionChanged,
    SourceRecreated,
)
from projector.core.lease import Lease
from projector.core.ranges import FeedRange
from projector.core.source import SourceIdentity
from projector.ports.feed import Clock
from projector.postgres.connections import Connections
from projector.postgres.resets import accept_new_source, accept_projection, request_replay
from projector.postgres.source import CopiedSource
from projector.projection.selection import EVERYTHING
from projector.settings import Settings
from projector.wiring import database, leases
from projector.wiring.account import Account, account
from projector.wiring.connecting import connection_options
from projector.wiring.source_identity import copied, identity_of
from projector.wiring.targets import refuse_strangers


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """A reset that may still be looked at or called off.

    Attributes:
        token: the one lease meant; None means everything.
        follows: `_rid` of the container to follow from now on; None keeps the one followed.
        projects: the filter to read the container under from now on; None keeps the one there is.
    """

    settings: Settings
    clock: Clock
    opened: Account
    connections: Connections
    chosen: Sequence[Lease]
    token: str | None
    follows: str | None
    projects: str | None

    async def carry_out(self) -> Sequence[leases.Done]:
        """Does it.

        1. The container to follow, or the filter, if it is another one. 2. The replays, in
        PostgreSQL. 3. The leases, one by one.

        Raises:
            SourceRecreated: The container is another one and nobody said to follow it.
        """
        identity = identity_of(self.settings, self.opened.name)
        if self.follows is not None:
            await accept_new_source(self.connections, self.follows, identity)
        if self.projects is not None:
            await accept_projection(self.connections, self.opened.container_rid, identity)
        await request_replay(self.connections, self.opened.container_rid, await self._ranges())
        return await leases.forget(self.opened.leases, self.chosen, now=self.clock.now())

    async def _ranges(self) -> Sequence[FeedRange] | None:
        if self.token is None:
            return None
        physical = await self.opened.source.physical_ranges()
        found = [range_of(lease, physical) for lease in self.chosen]
        return [keys for keys in found if keys is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What a person has agreed to.

    Attributes:
        new_source: follow a container that was created again under its name.
        other_source: follow another container; its name as it was typed.
        new_projection: read the container again under another filter.
    """

    new_source: bool = False
    other_source: str | None = None
    new_projection: bool = False


@asynccontextmanager
async def prepare_reset(
    settings: Settings, *, clock: Clock, token: str | None, consent: Consent
) -> AsyncIterator[Reset]:
    """Looks at what a reset would change; nothing is written before `carry_out`.

    Raises:
        ConfigurationError: There is no lease of that token, a host keeps one for another database,
            or what is copied is not what the settings say and `consent` does not go that far.
        SchemaMismatch: There is no schema yet, so there is nothing to reset.
        SourceRecreated: The container was created again, and nobody agreed to follow it.
    """
    async with (
        database.target_url(settings) as url,
        Connections(connection_options(settings, url)) as connections,
        account(settings, clock=clock) as opened,
    ):
        await database.require_schema(url)
        found = await copied(connections)
        identity = identity_of(settings, opened.name)
        follows = _follows(found, opened, identity, consent)
        projects = None if follows else _projects(found, identity, token, consent)
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
            follows=follows,
            projects=projects,
        )


def _follows(
    found: CopiedSource | None, opened: Account, identity: SourceIdentity, consent: Consent
) -> str | None:
    """The `_rid` to follow from now on; None when it is followed already."""
    typed, named = consent.other_source, str(identity.name)
    if typed is not None and typed != named:
        raise ConfigurationError(
            f"--accept-other-source says {typed}, your settings say {named}: type the name of the"
            " container that the settings name"
        )
    if found is None:
        return None
    try:
        found.refuse_other(opened.container_rid, identity)
    except SourceRecreated:
        if not (consent.new_source or typed):
            raise
    except OtherSource:
        if typed is None:
            raise
    else:
        return None
    return opened.container_rid


def _projects(
    found: CopiedSource | None, identity: SourceIdentity, token: str | None, consent: Consent
) -> str | None:
    """The filter to read under from now on; None when the rows were made under it."""
    if found is None:
        return None
    try:
        found.refuse_other_projection(identity, unfiltered=EVERYTHING.text)
    except ProjectionChanged:
        if not consent.new_projection:
            raise
    else:
        return None
    if token is not None:
        raise ConfigurationError("another filter is for the whole container: leave out --range")
    return identity.projection
