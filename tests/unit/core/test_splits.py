from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projector.core.lease import Lease
from projector.core.names import Continuation, LeaseToken
from projector.core.ranges import FeedRange, uncovered
from projector.core.splits import (
    RANGE_ID_PROPERTY,
    Kept,
    Replaced,
    home_of,
    merged_away,
    rest_of,
    succeed,
)
from projector.ports.feed import PhysicalRange

CUTS = [f"{n:02X}" for n in range(1, 0xFF, 16)]
PLACE = Continuation('"5"')


def parts_of(cuts: list[str]) -> list[PhysicalRange]:
    bounds = ["", *sorted(cuts), "FF"]
    return [
        PhysicalRange(id=str(n), feed_range=FeedRange(min=low, max=high))
        for n, (low, high) in enumerate(itertools.pairwise(bounds))
    ]


def key_lease(keys: FeedRange, **properties: str) -> Lease:
    return Lease(
        id=f"p..{keys}",
        token=LeaseToken(str(keys)),
        version=1,
        feed_range=keys,
        properties=properties,
    )


physical = st.lists(st.sampled_from(CUTS), unique=True).map(parts_of)
keys_of = st.lists(st.sampled_from(["", *CUTS, "FF"]), min_size=2, max_size=2, unique=True).map(
    lambda pair: FeedRange(min=min(pair), max=max(pair))
)


@given(parts=physical, keys=keys_of)
def test_children_cover_the_lease_exactly_and_each_fits_a_partition(
    parts: list[PhysicalRange], keys: FeedRange
) -> None:
    lease = key_lease(keys)
    outcome = succeed(lease, parts, continuation=PLACE)
    if isinstance(outcome, Kept):
        home = home_of(lease, parts)
        assert home is not None
        assert home.id == outcome.range_id
        return
    found = [child.feed_range for child in outcome.children if child.feed_range]
    assert not uncovered(keys, found)
    assert all(keys.covers(one) for one in found)
    assert all(not a.overlaps(b) for a, b in itertools.pairwise(found))
    assert all(home_of(child, parts) for child in outcome.children)
    assert {child.continuation for child in outcome.children} == {PLACE}


def test_partition_lease_is_at_home_only_in_its_own_partition() -> None:
    parts = parts_of(["80"])
    mine = Lease(id="0", token=LeaseToken("0"), feed_range=parts[0].feed_range)
    assert home_of(mine, parts) is parts[0]
    stranger = Lease(id="9", token=LeaseToken("9"), feed_range=parts[0].feed_range)
    assert home_of(stranger, parts) is None


def test_lease_without_keys_cannot_be_placed() -> None:
    with pytest.raises(ValueError, match="feed range"):
        home_of(Lease(id="0", token=LeaseToken("0")), parts_of([]))


def test_bookmark_of_another_partition_means_a_merge() -> None:
    keys = FeedRange(min="", max="80")
    assert merged_away(key_lease(keys, **{RANGE_ID_PROPERTY: "0"}), "3")
    assert merged_away(key_lease(keys), "3")
    assert not merged_away(key_lease(keys, **{RANGE_ID_PROPERTY: "3"}), "3")
    assert not merged_away(Lease(id="3", token=LeaseToken("3"), feed_range=keys), "3")


def test_child_of_a_merge_remembers_where_its_bookmark_is_from() -> None:
    lease = Lease(id="p..7", token=LeaseToken("7"), feed_range=FeedRange(min="", max="80"))
    outcome = succeed(lease, parts_of([]), continuation=PLACE)
    assert not isinstance(outcome, Kept)
    (child,) = outcome.children
    assert child.properties[RANGE_ID_PROPERTY] == "7"
    assert merged_away(child, "0")


def test_child_never_covers_keys_that_its_parent_did_not() -> None:
    """Simulated history 142: the split is noticed only after its child was merged."""
    parent = Lease(id="p..0", token=LeaseToken("0"), feed_range=FeedRange(min="", max="20"))
    partitions = [
        PhysicalRange(id="5", feed_range=FeedRange(min="", max="10"), parents=("0",)),
        PhysicalRange(id="7", feed_range=FeedRange(min="10", max="30"), parents=("0", "6", "1")),
    ]

    outcome = succeed(parent, partitions, continuation=Continuation('"9"'))

    assert isinstance(outcome, Replaced)
    assert [(child.token, child.version) for child in outcome.children] == [("5", 0), ("10-20", 1)]
    assert [child.feed_range for child in outcome.children] == [
        FeedRange(min="", max="10"),
        FeedRange(min="10", max="20"),
    ]
    assert outcome.children[1].properties[RANGE_ID_PROPERTY] == "0"


def test_retired_lease_leaves_the_keys_that_nobody_else_covers_to_children() -> None:
    """Simulated history 225: leases were deleted, and two hosts repaired them differently."""
    retired = Lease(id="p..6", token=LeaseToken("6"), feed_range=FeedRange(min="10", max="28"))

    children = rest_of(
        retired,
        [FeedRange(min="20", max="28"), FeedRange(min="28", max="30")],
        range_id="6",
        continuation=Continuation('"9"'),
    )

    assert [(child.token, child.version, child.feed_range) for child in children] == [
        ("10-20", 1, FeedRange(min="10", max="20"))
    ]
    assert children[0].properties[RANGE_ID_PROPERTY] == "6"
    assert children[0].continuation == '"9"'
