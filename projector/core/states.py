"""Names for the condition of a range, why its supervisor ended, and stored failures."""

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


class FailureCategory(StrEnum):
    """Which neighbour failed."""

    SOURCE = "source"
    LEASE = "lease"
    TARGET = "target"
    DOCUMENT = "document"
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
