"""`projector psql`: SQL on the copy, wherever it is, the embedded server too."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence

import typer

from projector.cli.context import prepared_to_look
from projector.cli.entry import enter
from projector.postgres.psql import find_psql, libpq_environment
from projector.settings import Settings
from projector.wiring import database


def psql(arguments: Sequence[str]) -> None:
    """Run psql with these arguments and leave with its exit code."""
    settings = prepared_to_look()
    raise typer.Exit(enter(lambda: _session(settings, arguments)))


async def _session(settings: Settings, arguments: Sequence[str]) -> int:
    async with database.target_url(settings) as url:
        program = find_psql(url)
        environment = libpq_environment(url)
        child = await asyncio.create_subprocess_exec(program, *arguments, env=environment)
        loop = asyncio.get_running_loop()
        # Ctrl-C goes to psql as well, where it cancels a query; it must not take the server away.
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        loop.add_signal_handler(signal.SIGTERM, child.terminate)
        return await child.wait()
