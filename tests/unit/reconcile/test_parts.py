"""The container cut into parts, each in one partition and in one stored range."""

from __future__ import annotations

import pytest

from projector.core.errors import FeedRangeGone
from projector.core.names import Epoch, LeaseToken
from projector.core.ranges import FeedRange
from projector.core.start import Position
from projector.ports.feed import PhysicalRange
from projector.ports.ranges import StoredRange
from projector.reconcile.parts import holder_of, parts_of


def physical(id_: str, low: str, high: str) -> PhysicalRange:
    return PhysicalRange(id=id_, feed_range=FeedRange(min=low, max=high))


def stored(range_id: int, low: str, high: str) -> StoredRange:
    return StoredRange(
        range_id=range_id,
        container_rid="rid",
        lease_token=LeaseToken("0"),
        processor_name="p",
        feed_range=FeedRange(min=low, max=high),
        epoch=Epoch(1),
        opened_epoch=Epoch(1),
        lineage=0,
        position=Position(continuation=None, lsn=1),
    )


CUTS = {
    "one for one": ([("0", "", "80"), ("1", "80", "FF")], [(1, "", "80"), (2, "80", "FF")], 2),
    "nothing stored": ([("0", "", "80"), ("1", "80", "FF")], [], 2),
    "split, parent stored": ([("1", "", "80"), ("2", "80", "FF")], [(1, "", "FF")], 2),
    "merged, sub-ranges stored": ([("3", "", "FF")], [(1, "", "40"), (2, "40", "FF")], 2),
    "a gap between stored ranges": ([("0", "", "FF")], [(1, "", "20"), (2, "40", "FF")], 3),
}


@pytest.mark.parametrize(("partitions", "ranges", "count"), CUTS.values(), ids=CUTS.keys())
def test_parts_cover_the_container_once_and_lie_in_one_stored_range(
    partitions: list[tuple[str, str, str]], ranges: list[tuple[int, str, str]], count: int
) -> None:
    places = [stored(*one) for one in ranges]
    whole = FeedRange(min="", max="FF")
    parts = parts_of(whole, [physical(*one) for one in partitions], places)
    assert len(parts) == count
    reached = ""
    for part in parts:
        assert part.feed_range.min == reached
        reached = part.feed_range.max
        holder_of(part.feed_range, places)  # raises when several hold its keys
    assert reached == "FF"


def test_keys_that_several_ranges_hold_have_to_be_cut_anew() -> None:
    with pytest.raises(FeedRangeGone):
        holder_of(FeedRange(min="", max="FF"), [stored(1, "", "80"), stored(2, "80", "FF")])
    assert holder_of(FeedRange(min="", max="80"), [stored(2, "80", "FF")]) is None
