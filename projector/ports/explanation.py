"""What the tables hold of one key, for people who ask why SQL says what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRow:
    """One row or tombstone; `values` by column, as the database prints them.

    `etag` is empty in the tombstone of a document that a point read did not find.
    """

    id: str
    lineage: int
    lsn: int
    ts: int
    etag: str
    deleted: bool
    values: Mapping[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEntry:
    """One quarantine entry."""

    entry_id: int
    document_id: str
    status: str
    reason: str
    detail: str
    lineage: int
    lsn: int
    etag: str
    last_seen_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPosition:
    """The stored range that holds a key."""

    lease_token: str
    owner: str | None
    lineage: int
    lsn: int | None
    time: datetime | None
    last_commit_at: datetime | None
    read_since: datetime | None
    replay_open: bool
    state: str | None
    last_error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """Everything the tables hold of one key; `position` None: no range holds it."""

    rows: tuple[StoredRow, ...]
    entries: tuple[StoredEntry, ...]
    position: StoredPosition | None
