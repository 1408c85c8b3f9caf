"""`projector db`: the schema's version, apart from `projector run`."""

from __future__ import annotations

from projector.cli.context import patience, prepared, prepared_to_look
from projector.cli.entry import enter
from projector.cli.lines import answer
from projector.wiring import database


def upgrade() -> None:
    """Bring the schema to the newest version; `projector run` does it too."""
    settings = prepared()

    async def command() -> str:
        async with database.target_url(settings) as url:
            return await database.upgrade(url, patience())

    answer(f"the schema is at {enter(command)}")


def current() -> None:
    """Show the schema's version and the newest one."""
    settings = prepared_to_look()

    async def command() -> tuple[str | None, str]:
        async with database.target_url(settings) as url:
            return await database.current(url)

    found, newest = enter(command)
    answer(f"the schema is at {found or 'nothing'}, the newest is {newest}")
