"""Found by simulated history 142: a split that is noticed only after its child was merged."""

from __future__ import annotations

from projector.core.lease import Lease
from projector.core.names import Continuation, LeaseToken
from projector.core.ranges import FeedRange
from projector.core.splits import RANGE_ID_PROPERTY, Replaced, succeed
from projector.ports.feed import PhysicalRange


def test_heir_never_covers_keys_that_its_parent_did_not() -> None:
    parent = Lease(id="p..0", token=LeaseToken("0"), feed_range=FeedRange(min="", max="20"))
    partitions = [
        PhysicalRange(id="5", feed_range=FeedRange(min="", max="10"), parents=("0",)),
        PhysicalRange(id="7", feed_range=FeedRange(min="10", max="30"), parents=("0", "6", "1")),
    ]

    outcome = succeed(parent, partitions, continuation=Continuation('"9"'))

    assert isinstance(outcome, Replaced)
    assert [(heir.token, heir.version) for heir in outcome.heirs] == [("5", 0), ("10-20", 1)]
    assert [heir.feed_range for heir in outcome.heirs] == [
        FeedRange(min="", max="10"),
        FeedRange(min="10", max="20"),
    ]
    assert outcome.heirs[1].properties[RANGE_ID_PROPERTY] == "0"
