"""`projector leases snapshot`, `snapshots`, `restore` and `reset --to`: bookmarks saved and put back."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from projector.cli.entry import enter, prepared_to_look
from projector.cli.failures import ExitCode, UsageError
from projector.cli.leases import confirmed
from projector.cli.lines import answer, say
from projector.cli.output import print_json, print_table
from projector.core.bookmark_file import decode, encode
from projector.core.bookmarks import Snapshot
from projector.core.errors import ConfigurationError, ProjectorError
from projector.core.texts import moment, several
from projector.operations.bookmarks import GoingBack
from projector.processor.clock import SystemClock
from projector.settings import Settings
from projector.settings.values import parse_start_from
from projector.wiring import bookmarks

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
FILE_ENDING = ".json"
COLUMNS = ("name", "taken_at", "ranges", "container_rid")
NO_SNAPSHOTS = "PostgreSQL keeps no snapshots: make one with projector leases snapshot NAME"


def snapshot(name: str | None, *, out: str | None, over: bool, as_json: bool) -> None:
    """Save how far every range was read, under a name, in a file, or both."""
    if name is None and out is None:
        raise UsageError("say where to: projector leases snapshot NAME, or --out FILE, or both")
    if name is not None:
        _check_name(name)
    settings = prepared_to_look()
    path = None if out is None else Path(out)
    if path is not None and path.exists() and not over:
        raise UsageError(f"{path} is there already: take another name, or say --replace")

    async def command() -> Snapshot:
        label = name or (path.stem if path is not None else "")
        taken = await bookmarks.take_snapshot(settings, label, clock=SystemClock())
        if name is not None and not await bookmarks.keep_snapshot(settings, taken, over=over):
            raise UsageError(
                f"there is a snapshot {name!r} already: take another name, or say --replace"
            )
        return taken

    taken = enter(command)
    if path is not None:
        _write(path, taken)
    if as_json:
        print_json({"name": name, "file": out, **_shown(taken)})
        return
    where = [text for text in (name and f"under {name!r}", out and f"in {out}") if text]
    answer(f"{several(len(taken.positions), 'bookmark')} saved {' and '.join(where)}")


def snapshots(*, remove: Sequence[str], as_json: bool) -> None:
    """List what PostgreSQL keeps, or remove some of it."""
    settings = prepared_to_look()
    if remove:
        gone = enter(lambda: bookmarks.forget_snapshots(settings, remove))
        if as_json:
            print_json({"removed": gone})
        else:
            for name in gone:
                answer(f"snapshot {name!r} is removed")
        unknown = [name for name in remove if name not in gone]
        if unknown:
            raise ProjectorError(_unknown(settings, unknown[0]))
        return
    found = enter(lambda: bookmarks.kept_snapshots(settings))
    rows = [{column: getattr(one, column) for column in COLUMNS} for one in found]
    if as_json:
        print_json({"snapshots": rows})
        return
    print_table(rows, COLUMNS, nothing=NO_SNAPSHOTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a person wants to go back: `token` None means all leases."""

    token: str | None
    dry_run: bool
    yes: bool
    as_json: bool


def restore(named: str, manner: Manner) -> None:
    """Make running and future hosts read on from where they stood when it was saved."""
    settings = prepared_to_look()
    _go_back(settings, saved(settings, named), manner, from_file=_is_file(named))


def saved(settings: Settings, named: str) -> Snapshot:
    """The snapshot of that name, or in that file.

    Raises:
        ProjectorError: There is none, or the file is something else.
    """
    if _is_file(named):
        return _read(Path(named))
    found = enter(lambda: bookmarks.find_snapshot(settings, named))
    if found is None:
        raise ProjectorError(_unknown(settings, named))
    return found


def reset_to(time: str, manner: Manner) -> None:
    """Make running and future hosts read again what was changed since a time."""
    settings = prepared_to_look()
    _go_back(settings, _time(time), manner)


def _go_back(
    settings: Settings, to: Snapshot | datetime, manner: Manner, *, from_file: bool = False
) -> None:
    async def command() -> ExitCode:
        opening = bookmarks.going_back(
            settings, to, clock=SystemClock(), token=manner.token, from_file=from_file
        )
        async with opening as prepared:
            for line in _plan(prepared):
                say(line)
            if manner.dry_run:
                if manner.as_json:
                    print_json(_document(prepared, changed=None))
                return ExitCode.SUCCESS
            return await _carried_out(prepared, manner)

    match enter(command):
        case ExitCode.USAGE:
            raise UsageError("nothing was moved: without a terminal say --yes")
        case ExitCode.FAILURE:
            raise ProjectorError("nothing was moved")
        case _:
            return


async def _carried_out(prepared: GoingBack, manner: Manner) -> ExitCode:
    if not await asyncio.to_thread(confirmed, yes=manner.yes):
        return ExitCode.FAILURE if sys.stdin.isatty() else ExitCode.USAGE
    changed = sum(one.changed for one in await prepared.carry_out())
    if manner.as_json:
        print_json(_document(prepared, changed=changed))
    else:
        ranges, leases = several(len(prepared.moves), "range"), several(changed, "lease")
        answer(f"went back: {ranges}; written: {leases}")
    return ExitCode.SUCCESS


def _plan(prepared: GoingBack) -> list[str]:
    lines = []
    for move in prepared.moves:
        came_to = "nowhere" if move.came_to is None else f"LSN {move.came_to.lsn}"
        position = move.position
        since = "" if position.time is None else f", at {moment(position.time)}"
        way = "ends its replay, goes" if move.undoes else "goes back"
        lines.append(f"range {move.lease_token}: {way} from {came_to} to LSN {position.lsn}{since}")
    owners = sorted({str(lease.owner) for lease, _ in prepared.leases if lease.owner})
    lines.append(
        f"these bookmarks, and no owner ({', '.join(owners) or 'nobody'} now), for"
        f" {several(len(prepared.leases), 'lease')}; made anew: {several(len(prepared.missing), 'lease')}"
    )
    lines.append(
        "what was changed since then is read again, which changes nothing that is right; nothing is"
        " removed on its account: documents that were deleted outright are found by a replay"
        " (projector leases reset) or by projector verify --repair"
    )
    return lines


def _document(prepared: GoingBack, *, changed: int | None) -> dict[str, Any]:
    return {
        "lease_tokens": [lease.token for lease, _ in prepared.leases],
        "missing_leases": [lease.token for lease in prepared.missing],
        "ranges": [
            {
                "lease_token": move.lease_token,
                "from_lsn": None if move.came_to is None else move.came_to.lsn,
                "to_lsn": move.position.lsn,
                "to_time": move.position.time,
            }
            for move in prepared.moves
        ],
        "leases_written": changed,
    }


def _shown(taken: Snapshot) -> dict[str, Any]:
    return {
        "taken_at": taken.taken_at,
        "container_rid": taken.container_rid,
        "ranges": [
            {"feed_range": one.feed_range, "lsn": one.lsn, "time": one.time}
            for one in taken.positions
        ],
    }


def _time(text: str) -> datetime:
    try:
        start = parse_start_from(text)
    except ValueError as error:
        raise UsageError(
            f"--to takes a time with its zone such as 2026-01-31T00:00:00Z, not {text!r}"
        ) from error
    if start.time is None:
        raise UsageError(f"--to takes a time, not {text!r}; for the start position leave it out")
    if start.time > SystemClock().now():
        raise UsageError(f"--to {text!r} has not come yet: give a time that has passed")
    return start.time


def _is_file(named: str) -> bool:
    return named.endswith(FILE_ENDING) or "/" in named or os.sep in named


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name) or _is_file(name):
        raise UsageError(
            f"{name!r} is no name for a snapshot: up to 63 letters, digits and the signs _ . -, not ending in"
            f" {FILE_ENDING}; a file is named with --out"
        )


def _unknown(settings: Settings, name: str) -> str:
    known = ", ".join(one.name for one in enter(lambda: bookmarks.kept_snapshots(settings)))
    return (
        f"PostgreSQL keeps no snapshot {name!r}, it keeps: {known or 'none'};"
        f" a file is told by a / in its path (./{name})"
    )


def _read(path: Path) -> Snapshot:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    return decode(text, where=str(path))


def _write(path: Path, taken: Snapshot) -> None:
    """All of it or nothing: a reader never finds half a file."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        beside.write_bytes(msgspec.json.format(encode(taken), indent=2) + b"\n")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error
