"""`projector db`: the schema's version, apart from `projector run`."""

from __future__ import annotations

from projector.cli.context import patience, prepared, prepared_to_look
from projector.cli.entry import enter
from projector.cli.lines import answer
from projector.cli.output import print_json
from projector.wiring import database


def upgrade(*, as_json: bool) -> None:
    """Bring the schema to the newest version; `projector run` does it too."""
    settings = prepared()

    async def command() -> str:
        async with database.target_url(settings, create=True) as url:
            return await database.upgrade(url, patience(), reader_role=settings.reader_role)

    revision = enter(command)
    if as_json:
        print_json({"revision": revision})
        return
    answer(f"the schema is at {revision}")


def current(*, as_json: bool) -> None:
    """Show the schema's version and the newest one."""
    settings = prepared_to_look()

    async def command() -> tuple[str | None, str]:
        async with database.target_url(settings) as url:
            return await database.current(url)

    found, newest = enter(command)
    if as_json:
        print_json({"revision": found, "newest": newest})
        return
    answer(f"the schema is at {found or 'nothing'}, the newest is {newest}")
