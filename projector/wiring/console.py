"""The console of a host, joined: its fleet's watch, its connections, its rules of access."""

from __future__ import annotations

from functools import partial

import structlog

from projector import __version__
from projector.core.names import InstanceName
from projector.operations.console import Console
from projector.operations.fleet import FleetWatch
from projector.ports.feed import Clock
from projector.postgres.connections import Connections
from projector.postgres.console import Counts, stored_side
from projector.postgres.quarantine import show_entry
from projector.settings import Settings
from projector.telemetry.logs import Event
from projector.web.access import Access
from projector.web.console import ConsoleRoutes

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


def console(
    settings: Settings, fleet: FleetWatch, connections: Connections, *, clock: Clock
) -> Console:
    """What a host shows beside health and metrics."""
    schema = settings.projection.definition.schema
    return Console(
        fleet=fleet,
        ask=partial(stored_side, connections, Counts(connections)),
        show=partial(show_entry, connections),
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
