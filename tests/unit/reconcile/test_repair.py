"""What a repair may decide, and when it lets be."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from projector.core.names import Epoch, LeaseToken
from projector.core.ranges import FULL_RANGE
from projector.core.start import Position
from projector.ports.points import PointRead
from projector.ports.ranges import StoredRange
from projector.ports.rows import DocumentKey, DriftKind, ReadMark, Verdict
from projector.ports.verification import Difference
from projector.reconcile.answers import Judge
from projector.reconcile.repair import ATTEMPTS, Repair, is_newer
from tests.carts import CART_PROJECTION

KEY = DocumentKey(partition_key='"cart"', id="1")
STORED = StoredRange(
    range_id=1,
    container_rid="rid",
    lease_token=LeaseToken("0"),
    processor_name="p",
    feed_range=FULL_RANGE,
    epoch=Epoch(1),
    opened_epoch=Epoch(1),
    lineage=2,
    position=Position(continuation=None, lsn=1),
)


def difference(lineage: int | None, lsn: int | None) -> Difference:
    return Difference(key=KEY, kind=DriftKind.STALE, detail="", lineage=lineage, lsn=lsn)


@pytest.mark.parametrize(
    ("lineage", "lsn", "newer"),
    [(2, 8, True), (2, 7, False), (3, 1, True), (1, 99, False), (None, None, False)],
)
def test_a_row_is_newer_by_lineage_and_then_by_lsn(
    lineage: int | None, lsn: int | None, *, newer: bool
) -> None:
    verdict = Verdict(key=KEY, lsn=7, write=None)
    assert is_newer(difference(lineage, lsn), STORED, verdict) is newer
    assert not is_newer(difference(lineage, lsn), None, verdict)


class Reader:
    async def read(
        self, partition_key_json: str, document_id: str, *, session_token: str | None = None
    ) -> PointRead:
        return PointRead(raw=None, session_lsn=7)


class Store:
    """A range that is gone from the `gone_after`th look on; what is written is refused."""

    def __init__(self, gone_after: int) -> None:
        self.gone_after = gone_after
        self.looked = 0

    async def read_mark(self, range_id: int) -> ReadMark | None:
        self.looked += 1
        if self.looked > self.gone_after:
            return None
        return ReadMark(range_id=range_id, lineage=2, tick=0, at=datetime.now(UTC))

    async def repair(self, *_: Any) -> None:
        return None


@pytest.mark.parametrize("gone_after", [0, 2, 99])
async def test_a_range_that_changes_all_the_time_is_left_as_it_is(gone_after: int) -> None:
    store: Any = Store(gone_after)
    repair = Repair(store=store, judge=Judge(reader=Reader(), projection=CART_PROJECTION))
    drift = [difference(2, 5)]
    unused: Any = None
    assert await repair.mend(unused, STORED, drift, session_token=None) == drift
    assert store.looked == ATTEMPTS
