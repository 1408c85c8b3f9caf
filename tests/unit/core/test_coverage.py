from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from projector.core.coverage import gaps, missing_leases, overlapping, range_of, spare_leases
from projector.core.lease import Lease
from projector.core.names import LeaseToken
from projector.core.ranges import FULL_RANGE, FeedRange, uncovered
from projector.ports.feed import PhysicalRange

CUTS = [f"{n:02X}" for n in range(1, 0xFF, 16)]


def parts_of(cuts: list[str]) -> list[PhysicalRange]:
    bounds = ["", *sorted(cuts), "FF"]
    return [
        PhysicalRange(id=str(n), feed_range=FeedRange(min=low, max=high), parents=("root",))
        for n, (low, high) in enumerate(itertools.pairwise(bounds))
    ]


def lease(token: str, keys: FeedRange | None, *, version: int = 0) -> Lease:
    return Lease(id=token, token=LeaseToken(token), version=version, feed_range=keys)


physical = st.lists(st.sampled_from(CUTS), unique=True).map(parts_of)
ranges = st.lists(st.sampled_from(["", *CUTS, "FF"]), min_size=2, max_size=2, unique=True).map(
    lambda pair: FeedRange(min=min(pair), max=max(pair))
)


@given(parts=physical, held=st.lists(ranges, max_size=5))
def test_created_leases_close_every_gap_and_overlap_nothing(
    parts: list[PhysicalRange], held: list[FeedRange]
) -> None:
    leases = [lease(str(keys), keys, version=1) for keys in held]
    missing = missing_leases(parts, leases)
    assert not uncovered(FULL_RANGE, held + [part.feed_range for part in missing])
    for part in missing:
        assert not any(part.feed_range.overlaps(keys) for keys in held)
        home = next(p for p in parts if p.id == part.range_id)
        assert home.feed_range.covers(part.feed_range)


@given(parts=physical)
def test_complete_set_misses_nothing(parts: list[PhysicalRange]) -> None:
    leases = [lease(part.id, part.feed_range) for part in parts]
    assert missing_leases(parts, leases) == []
    assert not gaps(leases)


def test_gaps_are_unknown_while_a_lease_does_not_tell_its_keys() -> None:
    assert not gaps([lease("0", None)])
    assert list(gaps([])) == [FULL_RANGE]


def test_range_of_an_old_lease_comes_from_its_partition_or_descendants() -> None:
    parts = [
        PhysicalRange(id="3", feed_range=FeedRange(min="20", max="30"), parents=("1",)),
        PhysicalRange(id="4", feed_range=FeedRange(min="30", max="40"), parents=("1",)),
    ]
    assert range_of(lease("3", None), parts) == FeedRange(min="20", max="30")
    assert range_of(lease("1", None), parts) == FeedRange(min="20", max="40")
    assert range_of(lease("9", None), parts) is None
    assert range_of(lease("9", FULL_RANGE), parts) == FULL_RANGE


@given(parts=physical, held=st.lists(ranges, max_size=8))
def test_without_spare_leases_no_key_loses_its_reader(
    parts: list[PhysicalRange], held: list[FeedRange]
) -> None:
    leases = [lease(str(number), keys, version=1) for number, keys in enumerate(held)]
    spare = spare_leases(leases, parts)
    kept = [one.feed_range for one in leases if one.token not in spare and one.feed_range]
    assert uncovered(FULL_RANGE, kept) == uncovered(FULL_RANGE, held)
    if not overlapping(leases):
        assert not spare


@given(parts=physical)
def test_children_beside_their_parent_are_not_spare(parts: list[PhysicalRange]) -> None:
    children = [lease(part.id, part.feed_range) for part in parts]
    assert not spare_leases([lease("root", FULL_RANGE), *children], parts)


def test_slivers_of_a_lease_are_spare() -> None:
    parts = parts_of(["11"])
    leases = [lease(part.id, part.feed_range) for part in parts]
    slivers = [
        lease(f"{low}-{low}4", FeedRange(min=low, max=f"{low}4"), version=1)
        for low in ("01", "12", "13", "14")
    ]
    slivers.append(lease("10-12", FeedRange(min="10", max="12"), version=1))
    assert overlapping([*leases, *slivers])
    assert spare_leases([*slivers, *leases], parts) == {one.token for one in slivers}
