"""The lower parts of the console: hosts, totals, quarantine, replays, what runs now and then."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from projector.core.health import GRAVEST_FIRST, RangeFacts
from projector.core.names import InstanceName
from projector.core.ranges import share
from projector.ports.console import Board, OpenReplay, StoredSide, ViewCount
from projector.ports.copy import HousekeepingRun
from projector.ports.quarantine import QuarantineEntry
from projector.web import words
from projector.web.html import Column, Html, joined, table, tag

SHORT = 24
NOT_KNOWN_YET = "Unknown: PostgreSQL has not told it yet."

HOSTS = (
    Column("Host"),
    Column("Ranges", number=True),
    Column("Health", long=True),
    Column("Gap", number=True),
    Column("Heard", number=True),
)
TOTALS = (Column("View"), Column("Rows", number=True))
ENTRIES = (
    Column("Entry"),
    Column("Reason", long=True),
    Column("Key"),
    Column("Document"),
    Column("Times", number=True),
    Column("First seen", number=True, long=True),
    Column("What to type"),
)
REPLAYS = (
    Column("Keys"),
    Column("Lease"),
    Column("Phase"),
    Column("Progress", long=True),
    Column("Asked for", number=True),
)
RUNS = (
    Column("Job"),
    Column("Last success", number=True, long=True),
    Column("Outcome"),
)


def hosts(board: Board) -> Html:
    """Who reads, and how much of it."""
    owned: dict[InstanceName | None, list[Any]] = defaultdict(list)
    for one in board.diagnosis.ranges:
        owned[one.facts.owner].append(one)
    rows = []
    for owner in sorted(owned, key=lambda name: name or ""):
        worst = min((one.verdict.health for one in owned[owner]), key=GRAVEST_FIRST.index)
        told = [one.facts for one in owned[owner]]
        name = "nobody" if owner is None else owner
        here = tag("span", "this page", class_="here") if owner == board.instance else None
        rows.append(
            (
                tag("span", name, " ", here),
                words.count(len(told)),
                tag(
                    "span",
                    worst.words,
                    class_=f"state {words.colour(worst, board.diagnosis)}",
                ),
                words.count(_sum_of_gaps(told)),
                _heard(told),
            )
        )
    return table("Hosts and what they own", HOSTS, rows, nothing="No host has reported yet.")


def _sum_of_gaps(told: Sequence[RangeFacts]) -> int | None:
    gaps = [one.gap_changes for one in told if one.gap_changes is not None]
    return sum(gaps) if len(gaps) == len(told) else None


def _heard(told: Sequence[RangeFacts]) -> Html:
    ages = [one.heard_seconds for one in told if one.heard_seconds is not None]
    return joined(words.seconds(min(ages)), " ago") if ages else joined("never")


def totals(board: Board) -> Html:
    """How many rows each view has."""
    if board.stored is None:
        return tag("p", NOT_KNOWN_YET, class_="nothing")
    rows = [(tag("code", one.view), _rows(one)) for one in board.stored.counts]
    return table("Rows of the views", TOTALS, rows, nothing="There are no views.")


def _rows(one: ViewCount) -> Html:
    return joined(
        "about " if one.estimated and one.rows is not None else None, words.count(one.rows)
    )


def quarantine(board: Board) -> Html:
    """Documents that could not be projected."""
    if board.stored is None:
        return tag("p", NOT_KNOWN_YET, class_="nothing")
    entries = board.stored.entries
    rows = [_entry(one, board) for one in entries]
    more = (board.quarantined or 0) - len(entries)
    return joined(
        table(
            "Open entries, the oldest first",
            ENTRIES,
            rows,
            nothing="No document is in quarantine.",
        ),
        tag("p", f"and {more:,} more: ", words.command("projector", "quarantine", "list"))
        if more > 0 and entries
        else None,
        tag(
            "p",
            "Ask for all of them again: ",
            words.command("projector", "quarantine", "retry", "--all"),
        )
        if entries
        else None,
    )


def _entry(one: QuarantineEntry, board: Board) -> Sequence[object]:
    return (
        tag("a", f"{one.id}", href=f"/quarantine/{one.id}"),
        joined(
            tag("span", one.reason, class_="tag"), " ", tag("span", one.detail, class_="detail")
        ),
        _named(one.partition_key),
        _named(one.document_id),
        words.count(one.count),
        words.ago(one.first_seen_at, board.now),
        commands_for(one),
    )


def _named(value: str) -> Html:
    """A name that is short enough to stand on one line does."""
    return tag("span", shortened(value), class_="name" if len(value) <= SHORT else None)


def commands_for(one: QuarantineEntry) -> Html:
    """What can be done about an entry."""
    ways = [
        words.command("projector", "quarantine", way, f"{one.id}") for way in ("retry", "discard")
    ]
    return joined(*(tag("div", way) for way in ways))


def shortened(value: str, most: int = 80) -> str:
    """A text of a document, cut where it is long."""
    return value if len(value) <= most else f"{value[:most]}... ({len(value):,} characters)"


def replays(board: Board) -> Html:
    """Ranges that are being read again, and how far that is."""
    if board.stored is None:
        return tag("p", NOT_KNOWN_YET, class_="nothing")
    rows = [
        (
            share(one.feed_range),
            one.lease_token,
            _phase(one),
            _progress(one),
            words.ago(one.requested_at, board.now),
        )
        for one in board.stored.replays
    ]
    return table("Open replays", REPLAYS, rows, nothing="No replay is running.")


def _phase(one: OpenReplay) -> str:
    if one.phase != "running":
        return one.phase
    return "sweeping" if _reached(one) else "reading"


def _reached(one: OpenReplay) -> bool:
    return one.mark_lsn is not None and one.lsn is not None and one.lsn >= one.mark_lsn


def _progress(one: OpenReplay) -> Html:
    if not one.mark_lsn or one.lsn is None:
        return words.UNKNOWN
    place = min(one.lsn, one.mark_lsn)
    told = f"{one.lsn:,} of {one.mark_lsn:,}"
    return joined(tag("progress", told, value=place, max=one.mark_lsn, aria_label=told), " ", told)


def housekeeping(board: Board) -> Html:
    """What runs now and then, the verification among it."""
    if board.stored is None:
        return tag("p", NOT_KNOWN_YET, class_="nothing")
    rows = [_run(one, board.stored) for one in board.stored.runs]
    return joined(
        table("Jobs and their last outcome", RUNS, rows, nothing="No job has run yet."),
        tag("p", "Compare container and copy now: ", words.command("projector", "verify")),
    )


def _run(one: HousekeepingRun, stored: StoredSide) -> Sequence[object]:
    differs = (one.result or {}).get("consistent") is False
    outcome: object = tag("span", _told(one.result), class_="error" if differs else None)
    if one.last_error is not None:
        outcome = tag("span", f"not done: {one.last_error}", class_="error")
    elif one.postponed is not None:
        outcome = tag("span", f"put off: {one.postponed}", class_="detail")
    elif one.last_success_at is None:
        outcome = "not carried through yet"
    job, _, generation = one.job.replace("_", " ").partition("@g")
    return (
        f"{job} of generation {generation}" if generation else job,
        words.ago(one.last_success_at, stored.read_at),
        outcome,
    )


def _told(result: Mapping[str, Any] | None) -> str:
    """Its verdict, then what it counted; nothing is said of what is 0."""
    plain = {
        name: value
        for name, value in (result or {}).items()
        if isinstance(value, bool) or (isinstance(value, int | float | str) and value)
    }
    verdicts_first = sorted(plain.items(), key=lambda one: not isinstance(one[1], bool))
    told = [f"{name.replace('_', ' ')} {_value(value)}" for name, value in verdicts_first]
    return ", ".join(told) or ("nothing to do" if result else "done")


def _value(value: float | str) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return f"{value:,}"
        case _:
            return value
