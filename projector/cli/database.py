"""`projector db`, the schema apart from `projector run`; `projector psql`, SQL on the copy, wherever it is."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence

import typer

from projector.cli.entry import enter, prepared, prepared_to_look
from projector.cli.lines import answer
from projector.cli.output import print_json
from projector.ports.diagnosis import SchemaLook
from projector.postgres.psql import find_psql, libpq_environment
from projector.processor.clock import SystemClock
from projector.settings import Settings
from projector.wiring import database
from projector.wiring.start import upgraded


def upgrade(*, as_json: bool) -> None:
    """Bring the schema to the newest version; `projector run` does it too."""
    settings = prepared()

    revision = enter(lambda: upgraded(settings, clock=SystemClock()))
    if as_json:
        print_json({"revision": revision})
        return
    answer(f"the schema is at {revision}")


def current(*, as_json: bool) -> None:
    """Show the schema's version and the newest one."""
    settings = prepared_to_look()

    async def command() -> tuple[SchemaLook, str]:
        async with database.target_url(settings) as url:
            return await database.look(url)

    found, newest = enter(command)
    if as_json:
        print_json({"revision": found.revision, "newest": newest})
        return
    answer(f"the schema is at {found.revision or 'nothing'}, the newest is {newest}")
    if found.dead_end is not None:
        answer("; ".join(found.dead_end))


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
