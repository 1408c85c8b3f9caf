"""The container and its copy for a command that needs both at once, and nothing to be waited for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from projector.ports.feed import Clock
from projector.postgres.connections import Connections
from projector.settings import Settings
from projector.wiring import database
from projector.wiring.account import account
from projector.wiring.connecting import connection_options
from projector.wiring.source_identity import refuse_others
from projector.wiring.verify import Copy


@asynccontextmanager
async def both_sides(settings: Settings, *, clock: Clock) -> AsyncIterator[Copy]:
    """Reaches container and copy for a command; nothing is waited for.

    Raises:
        SchemaMismatch: There is no schema yet, or another one.
        SourceRecreated, OtherSource, ProjectionChanged: It is not what is copied.
    """
    async with (
        database.target_url(settings) as url,
        Connections(connection_options(settings, url)) as connections,
        account(settings, clock=clock) as opened,
    ):
        await database.require_schema(url)
        await refuse_others(connections, settings, opened)
        yield Copy(settings=settings, clock=clock, opened=opened, connections=connections)
