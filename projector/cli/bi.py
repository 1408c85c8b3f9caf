"""`projector bi`: what analysts and their tools are given, a package for dbt and logins."""

from __future__ import annotations

import asyncio
import secrets
import sys
from pathlib import Path

from projector.bi.package import files_of
from projector.cli.entry import enter, prepared_to_look
from projector.cli.failures import UsageError
from projector.cli.lines import answer
from projector.cli.output import print_json
from projector.postgres import logins
from projector.postgres.address import address
from projector.postgres.logins import Limits, Login, Password
from projector.settings import Settings
from projector.wiring import commands, database


def dbt(folder: Path, *, as_json: bool) -> None:
    """Writes the package; a file of ours that is there is written anew, others are left alone."""
    settings = prepared_to_look()
    files = files_of(enter(lambda: commands.live_generation(settings)))
    try:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written ({error.strerror}): name a folder of yours with --out"
        ) from error
    if as_json:
        print_json({"folder": str(folder), "files": sorted(files)})
        return
    answer(f"{len(files)} files are in {folder}: dbt build --project-dir {folder}")


def grant(
    role: str, *, bounds: tuple[int, int, int], password: Password | None, as_json: bool
) -> None:
    """Lets the role in and says how to connect; a password that was drawn is shown this once."""
    settings = prepared_to_look()
    connections, statement_seconds, idle_seconds = bounds
    limits = Limits(
        connections=connections, statement_seconds=statement_seconds, idle_seconds=idle_seconds
    )

    async def command() -> tuple[Login, str]:
        async with database.target_url(settings) as url:
            await database.require_schema(url)
            made = await asyncio.to_thread(
                logins.grant,
                url,
                role,
                reader=settings.reader_role,
                schema=settings.projection.definition.schema,
                limits=limits,
                password=password,
            )
            return made, address(url).place

    made, place = enter(command)
    drawn = made.password_set and password is not None and password.drawn
    shown = password.text if password is not None and drawn else None
    if as_json:
        print_json({"role": role, "made": made.made, "database": made.database, "password": shown})
        return
    answer(f"{role} may read {made.database} at {place}")
    if shown is not None:
        answer(f"its password, shown this once: {shown}")
    if not made.made:
        answer("it was there already and keeps its own limits and password")


def revoke(role: str, *, as_json: bool) -> None:
    """Takes the role out again, and drops it when it was made here."""
    settings: Settings = prepared_to_look()

    async def command() -> Login:
        async with database.target_url(settings) as url:
            return await asyncio.to_thread(logins.revoke, url, role, reader=settings.reader_role)

    gone = enter(command)
    if as_json:
        print_json({"role": role, "dropped": gone.made, "database": gone.database})
        return
    answer(f"{role} is gone" if gone.made else f"{role} may read {gone.database} no longer")


def password_of(*, from_stdin: bool, none: bool, new: bool) -> Password | None:
    """The password that the options ask for; one is drawn unless they say otherwise.

    Raises:
        UsageError: They contradict each other, or nothing came.
    """
    if from_stdin + none + new > 1:
        raise UsageError("--password-stdin, --no-password and --new-password exclude each other")
    if none:
        return None
    if not from_stdin:
        return Password(text=secrets.token_urlsafe(24), replaces=new, drawn=True)
    text = sys.stdin.readline().rstrip("\r\n")
    if not text:
        raise UsageError("no password came on standard input")
    return Password(text=text, replaces=True)
