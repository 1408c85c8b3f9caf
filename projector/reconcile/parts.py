"""Parts of the container to verify one by one, and how far the tables are in each.

A part lies in one physical partition and in one stored range (or in none), so that one LSN says
how far its tables are. When partitions or stored ranges change so that this is no longer true, the
part is gone and its keys are cut anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from projector.core.errors import FeedRangeGone
from projector.core.names import LeaseToken
from projector.core.ranges import FeedRange, uncovered
from projector.ports.feed import Clock, FeedTarget, PhysicalRange
from projector.ports.ranges import StoredRange
from projector.ports.verification import VerifyStore

LEAST_STALL_SECONDS = 5.0
LOOK_SECONDS = 0.05
POLLS_OF_A_STALL = 3
TOKEN = LeaseToken("verify")


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """How long to wait for hosts to bring a range to where its document was read.

    Attributes:
        stall_seconds: a position that has not moved for so long has no host.
        limit_seconds: the longest wait for one set of documents, however it moves.
    """

    stall_seconds: float = LEAST_STALL_SECONDS
    limit_seconds: float = 300.0

    @classmethod
    def suiting(cls, poll_seconds: float) -> Self:
        """For hosts that ask the feed at least so often."""
        return cls(stall_seconds=max(LEAST_STALL_SECONDS, POLLS_OF_A_STALL * poll_seconds))


def parts_of(
    whole: FeedRange, physical: Sequence[PhysicalRange], stored_ranges: Sequence[StoredRange]
) -> Sequence[FeedTarget]:
    """Cut `whole` at the bounds of partitions and stored ranges, lowest first."""
    parts: list[FeedTarget] = []
    for partition in physical:
        if not partition.feed_range.overlaps(whole):
            continue
        keys = partition.feed_range.clip(whole)
        cuts = [keys.clip(one.feed_range) for one in stored_ranges if one.feed_range.overlaps(keys)]
        parts += [
            FeedTarget(lease_token=TOKEN, feed_range=cut, range_id=partition.id)
            for cut in sorted([*cuts, *uncovered(keys, cuts)])
        ]
    return parts


def holder_of(keys: FeedRange, stored_ranges: Sequence[StoredRange]) -> StoredRange | None:
    """The stored range that holds all these keys; None when none of them has one.

    Raises:
        FeedRangeGone: Several do, or one that holds some: the part has to be cut anew.
    """
    found = [one for one in stored_ranges if one.feed_range.overlaps(keys)]
    if not found:
        return None
    if not found[0].feed_range.covers(keys):
        raise FeedRangeGone(f"the stored ranges of {keys} changed during the verify")
    return found[0]


class RangeWatch:
    """Waits until the tables of one part have come to an LSN."""

    def __init__(
        self, *, store: VerifyStore, keys: FeedRange, clock: Clock, waiting: Waiting
    ) -> None:
        """Watch the stored range of these keys."""
        self._store = store
        self._keys = keys
        self._clock = clock
        self._waiting = waiting
        self._stalled_at: tuple[int | None, int | None] | None = None

    async def stored(self) -> StoredRange | None:
        """How far the part is now. Raises FeedRangeGone."""
        return holder_of(self._keys, await self._store.stored_ranges())

    async def reached(self, lsn: int) -> bool:
        """Whether the part comes to `lsn`; False when it stopped before, or takes too long.

        A range that was found standing still is waited for no more until it moves.

        Raises:
            FeedRangeGone: The part has to be cut anew.
        """
        began = moved = self._clock.monotonic()
        seen: tuple[int | None, int | None] | None = None
        while True:
            stored = await self.stored()
            if stored is not None and stored.lsn is not None and stored.lsn >= lsn:
                self._stalled_at = None
                return True
            here = (None, None) if stored is None else (stored.range_id, stored.lsn)
            if here == self._stalled_at:
                return False
            now = self._clock.monotonic()
            if here != seen:
                seen, moved = here, now
            if now - moved >= self._waiting.stall_seconds:
                self._stalled_at = here
                return False
            if now - began >= self._waiting.limit_seconds:
                return False
            await self._clock.sleep(LOOK_SECONDS)
