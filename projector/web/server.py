"""Serves `/livez`, `/readyz` and `/metrics` on loopback unless told otherwise.

Liveness touches neither Cosmos DB nor PostgreSQL: an outage of theirs must not make an orchestrator
restart hosts in a circle. Readiness says whether this host takes part: it has finished a balancing
cycle. Nothing here changes anything, and no answer bears a document or a secret.
"""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from projector.core.errors import ConfigurationError
from projector.telemetry.metrics import Metrics

METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@asynccontextmanager
async def serve(
    *, host: str, port: int, metrics: Metrics, is_ready: Callable[[], bool]
) -> AsyncIterator[int]:
    """Serves until the block is left; yields the port it listens on.

    Raises:
        ConfigurationError: The address cannot be used; names the setting to change.
    """
    runner = web.AppRunner(_application(metrics, is_ready), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise ConfigurationError(_refusal(error, host, port)) from error
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def _application(metrics: Metrics, is_ready: Callable[[], bool]) -> web.Application:
    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def readyz(_: web.Request) -> web.Response:
        if is_ready():
            return web.Response(text="ready\n")
        return web.Response(text="starting\n", status=503)

    async def figures(_: web.Request) -> web.Response:
        return web.Response(
            body=metrics.exposition(), headers={"Content-Type": METRICS_CONTENT_TYPE}
        )

    application = web.Application()
    application.add_routes(
        [web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", figures)]
    )
    return application


def _refusal(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use; set PROJECTOR_WEB_PORT to another port, or to 0 for none"
    return f"cannot listen on {host} port {port}: {error.strerror}; set PROJECTOR_WEB_HOST and PROJECTOR_WEB_PORT"
