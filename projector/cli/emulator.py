"""`projector emulator`: the embedded Cosmos-compatible server alone, until Ctrl-C."""

from __future__ import annotations

import asyncio

from cosmos_emulator import EmulatorServer
from cosmos_emulator.addresses import cannot_listen
from cosmos_emulator.serving import serve
from projector.cli.entry import Stopping, enter_until_stopped
from projector.cli.failures import UsageError
from projector.cli.lines import answer, say
from projector.core.errors import ConfigurationError


def emulator(*, host: str, port: int, partitions: int, https: bool) -> None:
    """Run the embedded Cosmos-compatible server alone; everything is kept in memory."""
    if not host.strip():
        raise UsageError("--host needs an address, for example 127.0.0.1")

    server = EmulatorServer(host, port, partitions=partitions, https=https)

    async def until_stopped(stopping: Stopping) -> None:
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(serve(server, announce=answer, warn=say), name="emulator")
            await stopping.wait()
            serving.cancel()

    try:
        enter_until_stopped(until_stopped, notice="stopping the emulator")
    except* OSError as group:
        error = group.exceptions[0]
        if not isinstance(error, OSError):
            raise
        raise ConfigurationError(cannot_listen(host, port, error)) from None
