"""What happened to the copy, and who did it: the entries of the timeline.

An entry is a fact that a person asks for afterwards, never what batches do all day. Its detail is a few
names and numbers. A program of another version may tell kinds that this one does not know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from typing_extensions import override


class Kind(StrEnum):
    """What happened; the subject is named behind each."""

    HOST_STARTED = "host_started"  # its name
    HOST_STOPPED = "host_stopped"
    LEASE_TAKEN_OVER = "lease_taken_over"  # the lease token
    LEASE_MOVED = "lease_moved"
    LEASE_RELEASED = "lease_released"
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
    QUARANTINE_REOPENED = "quarantine_reopened"
    REBUILD_STARTED = "rebuild_started"  # the generation
    REBUILD_PROMOTED = "rebuild_promoted"
    REBUILD_ROLLED_BACK = "rebuild_rolled_back"
    REBUILD_ABORTED = "rebuild_aborted"
    SCHEMA_UPGRADED = "schema_upgraded"  # the revision
    SNAPSHOT_RESTORED = "snapshot_restored"  # the snapshot


SENTENCES: Mapping[str, str] = {
    Kind.HOST_STARTED: "host {subject} started",
    Kind.HOST_STOPPED: "host {subject} stopped",
    Kind.LEASE_TAKEN_OVER: "lease {subject} taken over from {from}, which did not renew it",
    Kind.LEASE_MOVED: "lease {subject} moved from {from} for a fair share",
    Kind.LEASE_RELEASED: "lease {subject} released from {from} by hand",
    Kind.SPLIT: "range {subject} split into {into}",
    Kind.MERGE: "ranges {from} merged into {subject}",
    Kind.RESET: "reset of {subject}: it is read again",
    Kind.SOURCE_FOLLOWED: "another container is followed: {subject}",
    Kind.PROJECTION_CHANGED: "another filter: {subject}",
    Kind.SWEEP_DONE: "replay of range {subject} swept, {removed} removed",
    Kind.DRIFT_FOUND: "drift found",
    Kind.DRIFT_REPAIRED: "drift repaired",
    Kind.QUARANTINE_OPENED: "documents of range {subject} quarantined",
    Kind.QUARANTINE_DISCARDED: "quarantine entry {subject} discarded",
    Kind.QUARANTINE_REOPENED: "quarantine entry {subject} taken up again",
    Kind.REBUILD_STARTED: "rebuild of generation {subject} started",
    Kind.REBUILD_PROMOTED: "generation {subject} promoted",
    Kind.REBUILD_ROLLED_BACK: "rolled back to generation {subject}",
    Kind.REBUILD_ABORTED: "rebuild of generation {subject} aborted",
    Kind.SCHEMA_UPGRADED: "schema brought from {from} to {subject}",
    Kind.SNAPSHOT_RESTORED: "snapshot {subject} restored",
}


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

    @property
    def sentence(self) -> str:
        """What happened, for people; what the sentence has no place for stands behind it."""
        sentence = SENTENCES.get(self.kind, "{kind} {subject}")
        told = _Told(
            {**self.detail, "kind": self.kind.replace("_", " ")}, self.subject or "everything"
        )
        text = sentence.format_map(told).strip()
        rest = [
            f"{name.replace('_', ' ')} {_shown(value)}"
            for name, value in self.detail.items()
            if name not in told.used and value not in (None, 0)
        ]
        return f"{text} ({', '.join(rest)})" if rest else text


class _Told(dict[str, str]):
    """The words of a sentence; notes which of them were used."""

    def __init__(self, detail: Mapping[str, Any], subject: str) -> None:
        super().__init__({name: _shown(value) for name, value in detail.items()}, subject=subject)
        self.used: set[str] = set()

    @override
    def __getitem__(self, name: str) -> str:
        self.used.add(name)
        return self.get(name, "unknown")


def _shown(value: object) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        each = [_shown(one) for one in value]
        return " and ".join([", ".join(each[:-1]), each[-1]] if len(each) > 1 else each)
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.1f}"
        case _:
            return str(value)
