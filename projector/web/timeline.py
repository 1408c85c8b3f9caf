"""The console's timeline: what happened last, by the clock of the database, and who did it.

Times stand as they are, not as ages: who looks for a cause compares them with other clocks and logs.
"""

from __future__ import annotations

from collections.abc import Sequence

from projector.ports.console import Board
from projector.ports.timeline import Kind, TimelineEntry
from projector.web import words
from projector.web.html import Column, Html, joined, table, tag
from projector.web.sections import NOT_KNOWN_YET, shortened

ENTRIES = (Column("When, UTC"), Column("What", long=True), Column("Who"))

WORTH_A_LOOK = frozenset(
    {
        Kind.DRIFT_FOUND,
        Kind.LEASE_TAKEN_OVER,
        Kind.PROJECTION_CHANGED,
        Kind.QUARANTINE_OPENED,
        Kind.REBUILD_ABORTED,
        Kind.REBUILD_ROLLED_BACK,
        Kind.RESET,
        Kind.SNAPSHOT_RESTORED,
        Kind.SOURCE_FOLLOWED,
    }
)
MENDED = frozenset({Kind.DRIFT_REPAIRED, Kind.REBUILD_PROMOTED, Kind.SWEEP_DONE})


def timeline(board: Board) -> Html:
    """The newest first."""
    if board.stored is None:
        return tag("p", NOT_KNOWN_YET, class_="nothing")
    rows = [_entry(one) for one in board.stored.timeline]
    return joined(
        table("What happened, the newest first", ENTRIES, rows, nothing="Nothing happened yet."),
        tag("p", "All of it: ", words.command("projector", "timeline", "--since", "1d"))
        if rows
        else None,
    )


def _entry(one: TimelineEntry) -> Sequence[object]:
    moment = one.happened_at
    return (
        tag("time", f"{moment:%Y-%m-%d %H:%M:%S}", datetime=moment.isoformat()),
        tag("span", shortened(one.sentence, 300), class_=f"event {_tone(one)}"),
        shortened(one.actor) if one.actor else words.UNKNOWN,
    )


def _tone(one: TimelineEntry) -> str:
    failed = one.kind == Kind.HOST_STOPPED and one.detail.get("why") is not None
    if failed or one.kind in WORTH_A_LOOK:
        return "look"
    return "mended" if one.kind in MENDED else "plain"
