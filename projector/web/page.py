"""The console's page, part by part: a part is drawn anew when what it shows has changed.

Complete without a script: a list of tables under headings. Who looks at it while something is wrong
reads from the top: is the copy right, how far is it behind, which range, whose, why, what to type.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from projector.core.health import COMPLETE, GRAVEST_FIRST, Health, Judged
from projector.core.ranges import share
from projector.core.texts import several
from projector.ports.console import Board
from projector.web import words
from projector.web.generations import rebuild
from projector.web.html import Column, Html, joined, table, tag
from projector.web.plots import plots
from projector.web.sections import (
    hosts,
    housekeeping,
    quarantine,
    replays,
    totals,
)
from projector.web.timeline import timeline

MOST_RANGES = 200

RANGES = (
    Column("Keys"),
    Column("Lease"),
    Column("Owner"),
    Column("State"),
    Column("Gap", number=True),
    Column("Lag", number=True),
    Column("Since", number=True),
    Column("What is wrong, and what to type"),
)


def parts(board: Board) -> Mapping[str, Html]:
    """Each part of the page by the id of its element, from the top."""
    return {
        "verdict": verdict(board),
        "figures": figures(board),
        "plots": plots(board),
        "ranges": ranges(board),
        "hosts": hosts(board),
        "totals": totals(board),
        "quarantine": quarantine(board),
        "replays": replays(board),
        "rebuild": rebuild(board),
        "housekeeping": housekeeping(board),
        "timeline": timeline(board),
        "asof": joined(
            "as of ", tag("time", words.clock(board.now), datetime=board.now.isoformat())
        ),
    }


def title(board: Board) -> str:
    """What the tab of a browser says."""
    return f"{board.diagnosis.health.words.capitalize()} - projector"


def verdict(board: Board) -> Html:
    """One sentence, and the reason that `projector health` tells."""
    told = board.diagnosis
    reason = None if told.health is Health.CURRENT else tag("p", told.reason, class_="reason")
    silent = None
    if board.silent is not None:
        silent = tag("p", f"Not everything is known: {board.silent}", class_="reason")
    return tag(
        "div",
        tag("p", words.sentence(told), class_="sentence", role="status", aria_live="polite"),
        reason,
        silent,
        class_=f"verdict {words.colour(told.health, told)}",
    )


def figures(board: Board) -> Html:
    """The few numbers that sum it up."""
    told = [one.facts for one in board.diagnosis.ranges]
    gaps, lags = [one.gap_changes for one in told], [one.lag_seconds for one in told]
    current = sum(one.verdict.health is Health.CURRENT for one in board.diagnosis.ranges)
    drift = board.drift_found
    verified = "compared with the container"
    if board.verified_seconds is not None:
        verified = "ago, no drift" if not drift else f"ago, drift of {drift:,} left"
    return tag(
        "dl",
        _figure("Lag", words.seconds(_most(lags)), "of the oldest change that waits"),
        _figure("Gap", words.count(_sum(gaps)), "changes not in the rows yet"),
        _figure("Ranges", f"{current:,} of {len(told):,}", COMPLETE),
        _figure(
            "Quarantine",
            words.count(board.quarantined),
            "documents that could not be projected",
            wrong=bool(board.quarantined),
        ),
        _figure(
            "Verified",
            joined("never")
            if board.verified_seconds is None
            else words.seconds(board.verified_seconds),
            verified,
            wrong=bool(drift),
        ),
        class_="figures",
    )


def _figure(name: str, value: object, note: str, *, wrong: bool = False) -> Html:
    return tag(
        "div",
        tag("dt", name),
        tag("dd", value, class_="value wrong" if wrong else "value"),
        tag("dd", note, class_="note"),
    )


def _most(values: Sequence[float | None]) -> float | None:
    known = [one for one in values if one is not None]
    return None if len(known) < len(values) or not known else max(known)


def _sum(values: Sequence[int | None]) -> int | None:
    known = [one for one in values if one is not None]
    return None if len(known) < len(values) or not known else sum(known)


def ranges(board: Board) -> Html:
    """All ranges, the gravest first."""
    found = sorted(board.diagnosis.ranges, key=_gravity)
    rows = [_range(one, board) for one in found[:MOST_RANGES]]
    more = len(found) - len(rows)
    return joined(
        table("Ranges of the container, the gravest first", RANGES, rows, nothing="No ranges yet."),
        tag("p", f"and {several(more, 'range')} more, none of them worse") if more else None,
    )


def _gravity(one: Judged) -> tuple[int, float, str]:
    """Within a verdict those far behind come first, in steps, so that rows do not dance."""
    late = one.verdict.seconds
    step = math.inf if late is None else float(int(math.log2(late + 1)))
    return (
        GRAVEST_FIRST.index(one.verdict.health),
        0.0 if one.verdict.health is Health.CURRENT else -step,
        "" if one.facts.feed_range is None else one.facts.feed_range.min,
    )


def _range(one: Judged, board: Board) -> Sequence[object]:
    facts, health = one.facts, one.verdict.health
    state = facts.state.replace("_", " ") if facts.state else health.words
    return (
        words.UNKNOWN if facts.feed_range is None else share(facts.feed_range),
        "none" if facts.lease_token is None else facts.lease_token,
        "nobody" if facts.owner is None else facts.owner,
        tag("span", state, class_=f"state {words.colour(health, board.diagnosis)}"),
        words.count(facts.gap_changes),
        words.seconds(facts.lag_seconds),
        words.seconds(facts.state_seconds) if facts.state else "",
        _trouble(one, board),
    )


def _trouble(one: Judged, board: Board) -> Html:
    """Why it is not current, its last error, and the command that reads it anew."""
    token = one.facts.lease_token
    failure = None if token is None else board.errors.get(token)
    reason = None if one.verdict.health is Health.CURRENT else tag("p", one.verdict.reason)
    error = reset = None
    if failure is not None:
        often = f" ({failure.count:,} times)" if failure.count > 1 else ""
        error = tag(
            "p",
            f"{failure.error_type}: {failure.message}{often}, first ",
            words.ago(failure.first_seen_at, board.now),
            class_="error",
        )
    if token is not None:
        reset = words.command("projector", "leases", "reset", "--range", token)
    if reset is not None:
        reset = tag("details", tag("summary", "Read it anew"), reset)
    return joined(reason, error, reset)
