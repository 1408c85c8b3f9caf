"""What a host serves: console, health and metrics on one address; health and metrics alone on another.

The second one is for whoever shall see the first and not the documents of the quarantine, such as a
platform's probes, while the console stays on loopback.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

import structlog

from projector.core.errors import ConfigurationError
from projector.operations.fleet import FleetWatch
from projector.ports.feed import Clock
from projector.postgres.beside import beside
from projector.settings import Settings
from projector.telemetry.logs import Event
from projector.telemetry.metrics import Metrics
from projector.web import server
from projector.wiring.console import console, routes, tell_access
from projector.wiring.generations import Live
from projector.wiring.opening import Target

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
