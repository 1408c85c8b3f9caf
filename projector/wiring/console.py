"""The console of a host, joined: its fleet's watch, its connections, its rules of access."""

from __future__ import annotations

import structlog

from projector import __version__
from projector.core.names import InstanceName
from projector.operations.console import Console
from projector.operations.fleet import FleetWatch
from projector.ports.console import StoredSide
from projector.ports.feed import Clock
from projector.ports.quarantine import QuarantinedDocument
from projector.postgres.console import Counts, stored_side
from projector.postgres.quarantine import show_entry
from projector.settings import Settings
from projector.telemetry.logs import Event
from projector.web.access import Access
from projector.web.console import ConsoleRoutes
from projector.wiring.generations import Live

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def access(settings: Settings) -> Access:
    """Who may look at it."""
    token = settings.web_token
    names = (settings.web_names or "").split(",")
    return Access.of(
        host=settings.web_host,
        token=None if token is None else token.get_secret_value(),
        names=[name.strip() for name in names if name.strip()],
    )


class LiveTables:
    """What the console asks of the tables: those of the generation that is live when it asks."""

    def __init__(self, live: Live) -> None:
        """Ask nothing yet."""
        self._live = live
        self._counts: tuple[int, Counts] | None = None

    async def look(self) -> StoredSide:
        """See `stored_side`."""
        found = await self._live.now()
        if self._counts is None or self._counts[0] != found.record.id:
            self._counts = found.record.id, Counts(found.connections, found.generation)
        return await stored_side(found.connections, self._counts[1])

    async def show(self, entry_id: int) -> QuarantinedDocument | None:
        """See `show_entry`."""
        return await show_entry((await self._live.now()).connections, entry_id)


def console(settings: Settings, fleet: FleetWatch, live: Live, *, clock: Clock) -> Console:
    """What a host shows beside health and metrics."""
    schema, tables = settings.projection.definition.schema, LiveTables(live)
    return Console(
        fleet=fleet,
        ask=tables.look,
        show=tables.show,
        clock=clock,
        instance=InstanceName(settings.instance_name),
        version=__version__,
        copied=f"{settings.cosmos_database}/{settings.cosmos_container}"
        f" in PostgreSQL schema {schema}",
    )


def routes(settings: Settings, view: Console) -> ConsoleRoutes:
    """The same to whoever may look at it."""
    return ConsoleRoutes(view, access(settings))


def tell_access(settings: Settings) -> None:
    """One line where nobody may look."""
    if access(settings).closed:
        log.info(
            Event.CONSOLE_CLOSED,
            host=settings.web_host,
            remedy="set PROJECTOR_WEB_TOKEN to open the console on this address",
        )
