"""`projector emulator`: the embedded Cosmos-compatible server alone, until Ctrl-C."""

from __future__ import annotations

import asyncio

from cosmos_emulator import server
from projector.cli.entry import Stopping, enter_until_stopped
from projector.cli.failures import UsageError
from projector.cli.lines import answer
from projector.core.errors import ConfigurationError


def emulator(*, host: str, port: int, partitions: int, https: bool) -> None:
    """Run the embedded Cosmos-compatible server alone; everything is kept in memory."""
    if not host.strip():
        raise UsageError("--host needs an address, for example 127.0.0.1")

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
    answer(line)
