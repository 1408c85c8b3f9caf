"""`projector status`: every range, beside running hosts and without them."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from rich.console import Console
from rich.live import Live

from projector.cli.entry import Stopping, enter, enter_until_stopped, prepared_to_look
from projector.cli.lines import answer, say
from projector.cli.output import print_json, print_table, shown
from projector.cli.status_page import details, page
from projector.operations.status import RangeStatus, Status
from projector.processor.clock import SystemClock
from projector.settings import Settings, required_endpoint
from projector.wiring import commands

COLUMNS = (
    "lease_token",
    "feed_range",
    "owner",
    "position",
    "gap_changes",
    "lag_seconds",
    "last_poll_at",
    "last_commit_at",
    "state",
    "state_since",
    "last_error",
)
WATCH_SECONDS = 2.0
NOTHING = "there are no ranges yet: no host has started"


def status(*, as_json: bool, watch: bool, with_details: bool) -> None:
    """Show health, owner, gap, lag and state of every range, the worst first."""
    settings = prepared_to_look()
    required_endpoint(settings)
    if watch and not as_json:
        enter_until_stopped(lambda stopping: _watch(settings, stopping), notice="")
        return
    found = enter(lambda: commands.look(settings, clock=SystemClock()))
    if as_json:
        print_json(_document(found))
        return
    console = Console(highlight=False)
    _print(found, console)
    if with_details and console.is_terminal:
        console.print(details(found))


def _print(found: Status, console: Console) -> None:
    """A page for a terminal; for a pipe a line each, with all that is known."""
    if console.is_terminal:
        console.print(page(found, now=SystemClock().now()))
        return
    for line in found.silent:
        say(f"not everything is known: {line}")
    answer(f"{found.diagnosis.health}: {found.diagnosis.reason}")
    print_table([_row(one) for one in found.ranges], COLUMNS, nothing=NOTHING)
    answer(f"quarantined documents: {shown(found.quarantined)}")


async def _watch(settings: Settings, stopping: Stopping) -> None:
    async with commands.looking(settings, clock=SystemClock()) as look:
        console = Console(highlight=False)
        drawing = console.is_terminal and not console.is_dumb_terminal
        with Live(console=console, auto_refresh=False) if drawing else nullcontext() as live:
            while not stopping.requested:
                found = await look()
                if live is not None:
                    frame = page(found, now=SystemClock().now(), height=console.height)
                    live.update(frame, refresh=True)
                else:
                    _print(found, console)
                await stopping.wait(WATCH_SECONDS)


def _document(found: Status) -> dict[str, Any]:
    told = found.diagnosis
    return {
        "health": {"healthy": told.healthy, "health": told.health, "reason": told.reason},
        "ranges": [_range(one) for one in found.ranges],
        "uncovered": found.uncovered,
        "quarantined": found.quarantined,
    }


def _range(one: RangeStatus) -> dict[str, Any]:
    return {
        "lease_token": one.lease_token,
        "feed_range": one.feed_range,
        "owner": one.owner,
        "position": {"continuation": one.continuation, "lsn": one.lsn, "time": one.position_time},
        "gap_changes": one.gap_changes,
        "lag_seconds": one.lag_seconds,
        "last_poll_at": one.last_poll_at,
        "last_commit_at": one.last_commit_at,
        "state": one.state,
        "state_since": one.state_since,
        "last_error": one.last_error,
    }


def _row(one: RangeStatus) -> dict[str, object]:
    failure = one.last_error
    return {
        **_range(one),
        "position": one.lsn if one.lsn is not None else one.continuation,
        "owner": "nobody" if one.owner is None and one.state is not None else one.owner,
        "last_error": "none"
        if failure is None
        else f"{failure.error_type} x{failure.count}: {failure.message}",
    }
