"""What a host serves: console, health and metrics on one address; health and metrics alone on another.

The second one is for whoever shall see the first and not the documents of the quarantine, such as a
platform's probes, while the console stays on loopback.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

import structlog

from projector import __version__
from projector.core.errors import ConfigurationError
from projector.core.names import InstanceName
from projector.operations.console import Console
from projector.operations.fleet import FleetWatch
from projector.ports.console import StoredSide
from projector.ports.feed import Clock
from projector.ports.quarantine import QuarantinedDocument
from projector.postgres.beside import beside
from projector.postgres.console import Counts, stored_side
from projector.postgres.quarantine import show_entry
from projector.settings import Settings
from projector.telemetry.logs import Event
from projector.telemetry.metrics import Metrics
from projector.web import server
from projector.web.access import Access
from projector.web.console import ConsoleRoutes
from projector.wiring.generations import Live
from projector.wiring.opening import Target


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


log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@asynccontextmanager
async def serving(
    settings: Settings,
    reached: Target,
    *,
    fleet: FleetWatch,
    metrics: Metrics,
    clock: Clock,
    needed: bool,
) -> AsyncIterator[None]:
    """Serves for the length of the block; who is not `needed`, a job beside a host, does without.

    Raises:
        ConfigurationError: An address cannot be used; names the setting to change.
    """
    live = Live(settings, reached)
    view = console(settings, fleet, live, clock=clock)
    host, port = settings.web_host, settings.web_port
    probe_host, probe_port = settings.probe_host, settings.probe_port
    async with live, AsyncExitStack() as stack:
        if port:
            page = server.serve(
                host=host,
                port=port,
                metrics=metrics,
                health=fleet.diagnosis,
                console=routes(settings, view),
            )
            if await _entered(stack, page, host, needed=needed):
                tell_access(settings)
                await stack.enter_async_context(beside(view.run(), name="web:console"))
        if probe_port:
            probes = server.serve(
                host=probe_host,
                port=probe_port,
                metrics=metrics,
                health=fleet.diagnosis,
                settings=("PROJECTOR_PROBE_HOST", "PROJECTOR_PROBE_PORT"),
            )
            await _entered(stack, probes, probe_host, needed=needed)
        yield


async def _entered(
    stack: AsyncExitStack, served: AbstractAsyncContextManager[int], host: str, *, needed: bool
) -> bool:
    try:
        port = await stack.enter_async_context(served)
    except ConfigurationError as error:
        if needed:
            raise
        log.warning(Event.WEB_SKIPPED, error=str(error))
        return False
    log.info(Event.WEB_STARTED, host=host, port=port)
    return True
