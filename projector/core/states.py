"""Names for the condition of a range, why its supervisor ended, and stored failures.

How far a range is behind: gap (changes) and lag (seconds); None means unknown, never 0.

The gap counts LSNs, as the service's session token tells them: transactions, not documents,
and for a key-range lease those of the whole partition. The lag is an upper bound of the age
of the oldest unread change.
Source: .NET v3 change feed processor, estimator (session LSN minus first unread LSN plus one);
docs/explanation/lag.md for what is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class RangeState(StrEnum):
    """What a range is doing; shown by `status` with the time since when."""

    STARTING = "starting"
    READING = "reading"
    WAITING_FOR_TARGET = "waiting_for_target"
    WAITING_FOR_SOURCE = "waiting_for_source"
    THROTTLED = "throttled"
    SWEEPING = "sweeping"
    FENCED_OUT = "fenced_out"
    SOURCE_RECREATED = "source_recreated"
    STOPPED = "stopped"


class CloseReason(StrEnum):
    """Why a supervisor ended."""

    SHUTDOWN = "shutdown"
    LEASE_LOST = "lease_lost"
    RANGE_GONE = "range_gone"
    SINK_FAILED = "sink_failed"
    SOURCE_FAILED = "source_failed"
    HANDLER_FAILED = "handler_failed"
    STALLED = "stalled"


class Removal(StrEnum):
    """Why rows went."""

    MARKER = "marker"
    REJECTED = "rejected"
    NOT_MEANT = "not_meant"
    MIXED = "mixed"
    SWEEP = "sweep"
    REPAIR = "repair"


class FailureCategory(StrEnum):
    """Which neighbour failed."""

    SOURCE = "source"
    LEASE = "lease"
    TARGET = "target"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeFailure:
    """One failure as operators see it; `count` repeats since `first_seen_at`."""

    category: FailureCategory
    error_type: str
    message: str
    first_seen_at: datetime
    count: int = 1
    document_id: str | None = None
    """Always None: a document that fails by itself is in quarantine and stops no range. Whoever reads the
    JSON of `status` by its keys finds it there all the same."""


def gap_after_page(*, session_lsn: int | None, first_lsn: int | None) -> int | None:
    """Changes not read yet, from a page that begins with `first_lsn`."""
    if session_lsn is None or first_lsn is None:
        return None
    return max(0, session_lsn - first_lsn + 1)


def gap_after_position(*, session_lsn: int | None, lsn: int | None) -> int | None:
    """Changes behind a committed position: the first unread one may be the next LSN."""
    if session_lsn is None or lsn is None:
        return None
    return max(0, session_lsn - lsn)


def lag_seconds(
    *,
    now: datetime,
    gap: int | None,
    caught_up_at: datetime | None,
    newest_time: datetime | None,
) -> float | None:
    """Age of the oldest unread change at most; 0 only when nothing is known to be unread.

    Args:
        now: the host's time.
        gap: from the functions above.
        caught_up_at: when the range was last known to have everything.
        newest_time: time of the newest change committed.
    """
    if gap == 0:
        return 0.0
    known = [moment for moment in (caught_up_at, newest_time) if moment is not None]
    if not known or gap is None:
        return None
    return max(0.0, (now - max(known)).total_seconds())
