"""`projector leases`: look at the leases, release them, reset them."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import Any

import typer

from projector.cli.entry import enter, prepared_to_look
from projector.cli.failures import ExitCode, UsageError
from projector.cli.lines import answer, say
from projector.cli.output import print_json, print_table
from projector.core.errors import ProjectorError
from projector.core.lease import Lease
from projector.core.start import StartFrom
from projector.operations.forecast import Forecast
from projector.operations.leases import Consent, Reset
from projector.processor.clock import SystemClock
from projector.settings import Settings
from projector.wiring import commands
from projector.wiring.bookmarks import find_snapshot

COLUMNS = ("lease_token", "feed_range", "owner", "continuation", "timestamp")
NO_LEASES = "there are no leases yet: no host has started"


def list_leases(*, as_json: bool) -> None:
    """Show the leases as they are stored."""
    settings = prepared_to_look()
    found = enter(lambda: commands.list_leases(settings, clock=SystemClock()))
    if as_json:
        print_json({"leases": [_document(lease) for lease in found]})
        return
    print_table([_row(lease) for lease in found], COLUMNS, nothing=NO_LEASES)


def release(*, token: str | None, as_json: bool) -> None:
    """Take the owner out of leases, so that any host may acquire them at once."""
    settings = prepared_to_look()
    released = enter(lambda: commands.release_leases(settings, token, clock=SystemClock()))
    if as_json:
        rows = [
            {"lease_token": one.lease.token, "owner": one.lease.owner, "released": one.changed}
            for one in released
        ]
        print_json({"leases": rows})
        return
    if not released:
        answer(NO_LEASES)
    for done in released:
        owner = done.lease.owner or "nobody"
        answer(
            f"lease {done.lease.token}: "
            + (f"released from {owner}" if done.changed else "had no owner")
        )


def reset(
    *,
    token: str | None,
    dry_run: bool,
    yes: bool,
    new_source: bool,
    other_source: str | None,
    new_projection: bool,
    as_json: bool,
) -> None:
    """Make running and future hosts replay from the start position."""
    settings = prepared_to_look()
    consent = Consent(
        new_source=new_source, other_source=other_source, new_projection=new_projection
    )

    async def command() -> int:
        opening = commands.prepared_reset(
            settings, clock=SystemClock(), token=token, consent=consent
        )
        async with opening as prepared:
            for line in _plan(prepared, settings.start_from):
                say(line)
            if dry_run:
                expected = await prepared.forecast()
                say(f"it costs: {expected}")
                if as_json:
                    print_json(
                        {**_reset_document(prepared, changed=None), "forecast": costs(expected)}
                    )
                return 0
            if not await asyncio.to_thread(confirmed, yes=yes):
                return 1 if sys.stdin.isatty() else 2
            done = await prepared.carry_out()
            before = await _kept_before(settings, prepared)
        changed = sum(one.changed for one in done)
        if as_json:
            print_json(_reset_document(prepared, changed=changed, before=before))
            return 0
        answer(
            f"a replay of {'the whole container' if token is None else f'lease {token}'} is requested;"
            f" {changed} leases were reset"
            + (f"; if it was a mistake: projector leases restore {before}" if before else "")
        )
        return 0

    _leave(enter(command))


async def _kept_before(settings: Settings, prepared: Reset) -> str | None:
    """Under which name it can be undone; the reset is done, also when PostgreSQL is gone by now."""
    with suppress(ProjectorError):
        if await find_snapshot(settings, prepared.before) is not None:
            return prepared.before
    return None


def _reset_document(
    prepared: Reset, *, changed: int | None, before: str | None = None
) -> dict[str, Any]:
    return {
        "lease_tokens": [lease.token for lease in prepared.chosen],
        "follows": prepared.follows,
        "leases_reset": changed,
        "snapshot": before,
    }


def costs(expected: Forecast) -> dict[str, Any]:
    """A forecast as part of a JSON document; null is unknown."""
    seconds = expected.seconds
    return {
        "documents": expected.documents,
        "request_units": expected.request_units,
        "minutes": None if seconds is None else seconds / 60,
    }


def _plan(prepared: Reset, start: StartFrom) -> list[str]:
    lines = [
        f"lease {lease.token}: forgets bookmark {lease.continuation or 'none'} and owner {lease.owner or 'nobody'}"
        for lease in prepared.chosen
    ]
    if prepared.follows is not None:
        lines.append(
            f"the container {prepared.sides.both.identity.name} with _rid {prepared.follows} is followed from now on"
        )
    if prepared.projects is not None:
        lines.append(f"the rows are those of `{prepared.projects}` from now on")
    lines.append(
        "every range concerned is read again from the PROJECTOR_START_FROM of the host that reads it"
        f" (here it is {start}); rows stay until the replay has passed them"
    )
    return lines


def _leave(code: int) -> None:
    if code == ExitCode.USAGE:
        raise UsageError("nothing was reset: without a terminal say --yes")
    if code:
        raise ProjectorError("nothing was reset")


def _document(lease: Lease) -> dict[str, Any]:
    return {
        "lease_token": lease.token,
        "feed_range": lease.feed_range,
        "owner": lease.owner,
        "continuation": lease.continuation,
        "timestamp": lease.timestamp,
        "error": lease.unreadable,
    }


def _row(lease: Lease) -> dict[str, object]:
    return {
        **_document(lease),
        "owner": lease.owner or "nobody",
        "continuation": lease.unreadable or lease.continuation or "none",
    }


def confirmed(*, yes: bool) -> bool:
    """Whether a person agrees; asked only on a terminal."""
    return yes or (sys.stdin.isatty() and typer.confirm("Go on?", err=True))
