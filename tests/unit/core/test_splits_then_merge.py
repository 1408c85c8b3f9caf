"""Splits that meet merges and repairs, as simulated histories found them."""

from __future__ import annotations

from projector.core.lease import Lease
from projector.core.names import Continuation, LeaseToken
from projector.core.ranges import FeedRange
from projector.core.splits import RANGE_ID_PROPERTY, Replaced, rest_of, succeed
from projector.ports.feed import PhysicalRange


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
