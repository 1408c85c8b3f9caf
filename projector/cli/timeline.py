"""`projector timeline`: what happened to the copy, and who did it."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from projector.cli.entry import enter, prepared_to_look
from projector.cli.failures import UsageError
from projector.cli.lines import say
from projector.cli.output import print_json, print_table
from projector.ports.timeline import TimelineEntry
from projector.wiring import commands

AGE = re.compile(r"(\d{1,6})([mhdw])")
UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
NOTHING = "nothing happened"


def timeline(*, since: str | None, limit: int, as_json: bool) -> None:
    """Show what happened, the newest last."""
    began = None if since is None else parse_since(since)
    settings = prepared_to_look()
    # One more than is shown tells whether there are more.
    found = enter(lambda: commands.timeline(settings, since=began, limit=limit + 1))
    entries = [*reversed(found[:limit])]
    has_all = len(found) <= limit
    if as_json:
        print_json({"entries": [_document(one) for one in entries], "has_all": has_all})
        return
    if not has_all:
        say(f"these are the newest {limit}; more with --limit, as in --limit {limit * 10}")
    rows = [
        {"happened_at": one.happened_at, "what": one.sentence, "who": one.actor or None}
        for one in entries
    ]
    nothing = NOTHING if since is None else f"{NOTHING} since {since}"
    print_table(rows, ("happened_at", "what", "who"), nothing=nothing)


def parse_since(text: str) -> datetime | timedelta:
    """A time, or how long ago, as 90m, 12h, 3d or 2w.

    Raises:
        UsageError: Neither, above all a time without its zone.
    """
    age = AGE.fullmatch(text.strip())
    try:
        if age is not None:
            return timedelta(**{UNITS[age[2]]: int(age[1])})
        time = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        time = None
    if time is None or time.utcoffset() is None:
        raise UsageError(
            f"--since {text} is no time: give 90m, 12h, 3d or 2w, or a time with its zone such as"
            " 2026-01-31T00:00:00Z"
        )
    return time


def _document(one: TimelineEntry) -> dict[str, Any]:
    return {
        "id": one.id,
        "happened_at": one.happened_at,
        "kind": one.kind,
        "subject": one.subject,
        "detail": one.detail,
        "actor": one.actor,
        "sentence": one.sentence,
    }
