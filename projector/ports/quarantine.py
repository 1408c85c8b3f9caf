"""Quarantined documents as people and retries see them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class EntryStatus(StrEnum):
    """What became of a rejected document."""

    OPEN = "open"
    DISCARDED = "discarded"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineEntry:
    """One rejected document, without its bytes."""

    id: int
    partition_key: str
    document_id: str
    key: str | None
    status: EntryStatus
    reason: str
    detail: str
    sqlstate: str | None
    lineage: int
    lsn: int
    ts: int
    etag: str
    first_seen_at: datetime
    last_seen_at: datetime
    closed_at: datetime | None
    count: int

    def __post_init__(self) -> None:
        """Make the status the closed choice that it is; the driver knows only text."""
        object.__setattr__(self, "status", EntryStatus(self.status))


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantinedDocument:
    """An entry with the bytes as the feed sent them and the last good row, if there was one."""

    entry: QuarantineEntry
    raw: bytes
    last_good: str | None
