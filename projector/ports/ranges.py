"""A range as the target holds it: what verify, repair, status, housekeeping and openings go by.

Implemented by `projector.postgres`, which reads it in one place.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from projector.core.names import Continuation, Epoch, InstanceName, LeaseToken
from projector.core.ranges import FeedRange
from projector.core.start import Position

OpenedRange: TypeAlias = tuple[int, Epoch]
"""A stored range, by its id, and the epoch under which it was opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRange:
    """One stored range, with the replay that is open in it.

    Attributes:
        range_id: the target's own id.
        owner: who opened it last, and `opened_at` when.
        opened_epoch: epoch of its last opening; orders ranges by age.
        position: as committed last; None until it has begun.
        position_time: time of the newest change before it.
        anchored_from: START_FROM text while no delivered change has passed the position, else None.
        read_since: documents last changed before it were never asked for; None: all were.
        tick: of the last commit; `purged_tick`: up to where tombstones were purged.
        retired: split or merged away; another range holds its keys.
        replay_phase: `requested` or `running` while a replay is open, else None.
        replay_since: when it was asked for.
        seen_group: under which the keys are kept that this replay has seen.
    """

    range_id: int
    container_rid: str
    lease_token: LeaseToken
    processor_name: str
    feed_range: FeedRange
    epoch: Epoch
    opened_epoch: Epoch
    lineage: int
    position: Position | None
    owner: InstanceName | None = None
    anchored_from: str | None = None
    tick: int = 0
    purged_tick: int = 0
    retired: bool = False
    replay_phase: str | None = None
    replay_mark_lsn: int | None = None
    replay_since: datetime | None = None
    seen_group: int | None = None
    position_time: datetime | None = None
    read_since: datetime | None = None
    opened_at: datetime | None = None
    last_commit_at: datetime | None = None

    @property
    def started(self) -> bool:
        """Whether it has begun, be it at the start of the feed."""
        return self.position is not None

    @property
    def continuation(self) -> Continuation | None:
        """Of the position; None also for the start of the feed."""
        return None if self.position is None else self.position.continuation

    @property
    def lsn(self) -> int | None:
        """Of the position, where it has one."""
        return None if self.position is None else self.position.lsn

    @property
    def replaying(self) -> bool:
        """Whether a replay was asked for or is open."""
        return self.replay_phase is not None
