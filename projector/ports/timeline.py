"""What happened to the copy, and who did it: the entries of the timeline.

An entry is a fact that a person asks for afterwards, never what batches do all day. Its detail is a few
names and numbers. A program of another version may tell kinds that this one does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What happened; the subject is named behind each."""

    HOST_STARTED = "host_started"  # its name
    HOST_STOPPED = "host_stopped"
    LEASE_TAKEN_OVER = "lease_taken_over"  # the lease token
    SPLIT = "split"
    MERGE = "merge"
    RESET = "reset"  # the lease token, or ""
    SOURCE_FOLLOWED = "source_followed"  # the container
    PROJECTION_CHANGED = "projection_changed"
    SWEEP_DONE = "sweep_done"  # the lease token
    DRIFT_FOUND = "drift_found"
    DRIFT_REPAIRED = "drift_repaired"
    QUARANTINE_OPENED = "quarantine_opened"  # the lease token
    QUARANTINE_DISCARDED = "quarantine_discarded"  # the entry
    REBUILD_STARTED = "rebuild_started"  # the generation
    REBUILD_PROMOTED = "rebuild_promoted"
    REBUILD_ROLLED_BACK = "rebuild_rolled_back"
    REBUILD_ABORTED = "rebuild_aborted"
    SNAPSHOT_RESTORED = "snapshot_restored"  # the snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """One of them.

    Attributes:
        kind: a `Kind`, or a newer program's.
        subject: what it happened to.
        detail: names and numbers.
        actor: the host or the person who did it.
    """

    id: int
    happened_at: datetime
    kind: str
    subject: str
    detail: Mapping[str, Any]
    actor: str
