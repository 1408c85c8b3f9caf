"""`projector emulator`: the embedded Cosmos-compatible server alone, until Ctrl-C."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from projector.cli.entry import Stopping, enter_until_stopped
from projector.cli.failures import UsageError
from projector.core.errors import ConfigurationError

MAX_PARTITIONS = 1000


def emulator(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes any free one.")] = 8081,
    partitions: Annotated[
        int, typer.Option(min=1, max=MAX_PARTITIONS, help="Physical partitions of a new container.")
    ] = 4,
    https: Annotated[
        bool, typer.Option("--https", help="Serve https with a self-signed certificate.")
    ] = False,
) -> None:
    """Run the embedded Cosmos-compatible server alone; everything is kept in memory."""
    if not host.strip():
        raise UsageError("--host needs an address, for example 127.0.0.1")

    from projector.emulator import server  # noqa: PLC0415 - no host loads the emulator

    async def serve(stopping: Stopping) -> None:
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(
                server.serve(host, port, partitions, https=https, announce=_announce),
                name="emulator",
            )
            await stopping.wait()
            serving.cancel()

    try:
        enter_until_stopped(serve, notice="stopping the emulator")
    except* OSError as group:
        error = group.exceptions[0]
        raise ConfigurationError(
            f"cannot listen on {host} port {port}: {error}; try --port 0"
        ) from None


def _announce(line: str) -> None:
    print(line, flush=True)
