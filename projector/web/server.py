"""Serves `/livez`, `/readyz`, `/metrics` and the console on loopback unless told otherwise.

Liveness touches neither Cosmos DB nor PostgreSQL: an outage of theirs must not make an orchestrator
restart hosts in a circle. Readiness is health, as `projector health` tells it: 200 while the copy is
complete and current, or behind within the limit. Nothing here changes anything, and no answer bears
a secret; who may look at the console, which shows documents, `access` says.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from projector.core.errors import ConfigurationError
from projector.core.health import Diagnosis
from projector.core.secrets import scrubbed
from projector.core.texts import printable
from projector.telemetry.metrics import Metrics
from projector.web.console import MOST_FORM_BYTES, ConsoleRoutes
from projector.web.door import BACKLOG, Door

SHUTDOWN_SECONDS = 1.0
METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

log = logging.getLogger(__name__)


@asynccontextmanager
async def serve(
    *,
    host: str,
    port: int,
    metrics: Metrics,
    health: Callable[[], Diagnosis],
    console: ConsoleRoutes | None = None,
    settings: tuple[str, str] = ("PROJECTOR_WEB_HOST", "PROJECTOR_WEB_PORT"),
) -> AsyncIterator[int]:
    """Serves until the block is left; yields the port it listens on.

    `settings` are those that chose the address.

    Raises:
        ConfigurationError: The address cannot be used; names the setting to change.
    """
    log.addFilter(_is_ours)
    runner = web.AppRunner(
        _application(metrics, health, console),
        access_log=None,
        logger=log,
        handler_cancellation=True,
        shutdown_timeout=SHUTDOWN_SECONDS,
    )
    await runner.setup()
    try:
        try:
            listening = await _listening(host, port)
        except OSError as error:
            raise ConfigurationError(_refusal(error, host, port, settings)) from error
        server = runner.server
        if server is None:  # pragma: no cover - `setup` has made it
            raise RuntimeError("no server")
        async with Door(listening, server).opened():
            yield int(listening[0].getsockname()[1])
    finally:
        await runner.cleanup()


async def _listening(host: str, port: int) -> Sequence[socket.socket]:
    """One socket for each address that the name stands for."""
    found = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    opened: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            chosen = opened[0].getsockname()[1] if opened else port
            opened.append(_bound(family, (address[0], chosen, *address[2:])))
    except OSError:
        for one in opened:
            one.close()
        raise
    return opened


def _bound(family: int, address: tuple[Any, ...]) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        one.setblocking(False)  # noqa: FBT003 - the socket's own signature
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(address)
        one.listen(BACKLOG)
    except OSError:
        one.close()
        raise
    return one


def _is_ours(record: logging.LogRecord) -> bool:
    """What is no HTTP is its sender's mistake, and no line of our log."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)


def _application(
    metrics: Metrics, health: Callable[[], Diagnosis], console: ConsoleRoutes | None
) -> web.Application:
    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def readyz(_: web.Request) -> web.Response:
        told = health()
        line = printable(scrubbed(f"{told.health}: {told.reason}"))
        return web.Response(text=f"{line}\n", status=200 if told.healthy else 503)

    async def figures(_: web.Request) -> web.Response:
        return web.Response(
            body=metrics.exposition(), headers={"Content-Type": METRICS_CONTENT_TYPE}
        )

    application = web.Application(client_max_size=MOST_FORM_BYTES)
    application.on_response_prepare.append(_once)
    application.add_routes(
        [web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", figures)]
    )
    if console is not None:
        application.add_routes(console.routes())
    return application


async def _once(_: web.Request, response: web.StreamResponse) -> None:
    """One request to a connection: those who wait come next, and the client is told so."""
    response.force_close()
    response.headers["Connection"] = "close"  # it is too late for aiohttp to say it


def _refusal(error: OSError, host: str, port: int, settings: tuple[str, str]) -> str:
    name_of_host, name_of_port = settings
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is in use; set {name_of_port} to another port, or to 0 for none"
        )
    why = f"cannot listen on {host} port {port}: {error.strerror}"
    return f"{why}; set {name_of_host} and {name_of_port}"
