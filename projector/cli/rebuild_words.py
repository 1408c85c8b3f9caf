"""A rebuild in words and as JSON: generations, progress, verdicts. Values in, texts out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from projector.cli.rebuild_page import percent
from projector.core.texts import duration
from projector.operations.generations import (
    TO_PROMOTE,
    TO_ROLL_BACK,
    TO_START,
    former_of,
    live_of,
)
from projector.operations.rebuild import Verdict
from projector.operations.rebuild_progress import Progress, RangeProgress
from projector.ports.generations import GenerationRecord

COLUMNS = (
    "id",
    "state",
    "who",
    "why",
    "created_at",
    "filled_at",
    "live_from",
    "live_until",
    "took",
    "documents",
    "request_units",
    "differences",
    "forced",
)


def generation_document(record: GenerationRecord) -> dict[str, Any]:
    """A generation as JSON; of its definition the hash alone."""
    told = asdict(record)
    del told["definition"]
    return told


def generation_row(record: GenerationRecord) -> Mapping[str, object]:
    """A generation as a row of a table."""
    return {
        "id": record.id,
        "state": record.state,
        "who": record.who,
        "why": record.why or "",
        "created_at": record.created_at,
        "filled_at": record.filled_at or "",
        "live_from": record.live_from or "",
        "live_until": record.live_until or "",
        "took": _took(record),
        "documents": record.documents,
        "request_units": record.request_units,
        "differences": _differences(record.differences),
        "forced": record.forced or "no",
    }


def progress_document(progress: Progress) -> dict[str, Any]:
    """How far a rebuild is, as JSON."""
    return {
        "generation": generation_document(progress.record),
        "phase": progress.phase,
        "documents": progress.documents,
        "expected": progress.expected,
        "share": progress.share,
        "estimate": progress.estimate,
        "documents_per_second": progress.per_second,
        "seconds_left": progress.seconds_left,
        "request_units": progress.request_units,
        "request_units_forecast": progress.request_units_forecast,
        "waits_for": list(progress.waits_for),
        "unknown": list(progress.silent),
        "ranges": [_range_document(one) for one in progress.ranges],
    }


def status_document(
    records: Sequence[GenerationRecord], progress: Progress | None
) -> dict[str, Any]:
    """What is live, what one may go back to, and how far the rebuild is."""
    former = former_of(records)
    return {
        "live": generation_document(live_of(records)),
        "former": None if former is None else generation_document(former),
        "rebuild": None if progress is None else progress_document(progress),
    }


def standing(records: Sequence[GenerationRecord]) -> str:
    """What is live and what one may go back to, while no rebuild is under way."""
    live, former = live_of(records), former_of(records)
    if former is None:
        return f"generation {live.id} is live; no rebuild is under way; begin one: {TO_START}"
    until = "" if former.fed_until is None else f" until {former.fed_until:%Y-%m-%d %H:%M:%SZ}"
    return (
        f"generation {live.id} is live; generation {former.id} is fed{until}, so that one may go back:"
        f" {TO_ROLL_BACK}"
    )


def _range_document(one: RangeProgress) -> dict[str, Any]:
    return {
        "feed_range": one.feed_range,
        "phase": one.phase,
        "owner": one.owner,
        "documents": one.documents,
        "expected": one.expected,
        "share": one.share,
        "estimate": one.estimate,
        "documents_per_second": one.per_second,
        "gap_changes": one.gap_changes,
        "lag_seconds": one.lag_seconds,
        "request_units": one.request_units,
        "error": one.error,
    }


def range_row(one: RangeProgress) -> Mapping[str, object]:
    """A range or part as a line for a pipe."""
    return {
        "feed_range": one.feed_range,
        "phase": one.phase,
        "owner": one.owner or "nobody",
        "documents": one.documents,
        "done": percent(one.share, estimate=one.estimate),
        "gap_changes": one.gap_changes,
        "lag_seconds": one.lag_seconds,
        "request_units": one.request_units,
        "last_error": one.error or "none",
    }


def refusal(verdict: Verdict) -> Sequence[str]:
    """Why a generation is not promoted: its differences, then what to do."""
    number = verdict.record.id
    mending = f"projector verify --generation {number} --repair"
    way_out = (
        f"the live generation is not touched; to mend this one: {mending}, then {TO_PROMOTE}; to make it"
        f" live all the same: {TO_PROMOTE} --force"
    )
    return [
        *verdict.compared.lines,
        f"generation {number} is not promoted: {'; '.join(verdict.against)}",
        way_out,
    ]


def _took(record: GenerationRecord) -> str:
    if record.created_at is None or record.filled_at is None:
        return ""
    return duration((record.filled_at - record.created_at).total_seconds())


def _differences(counts: Mapping[str, Any] | None) -> object:
    """How many were found by the last comparison; empty where there was none."""
    if counts is None:
        return ""
    names = ("missing", "extra", "stale", "totals_wrong", "pending")
    return sum(int(counts.get(name) or 0) for name in names)
