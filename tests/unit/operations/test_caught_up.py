"""Which ranges count as opened, and how far each has come."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from projector.core.names import Epoch, InstanceName, LeaseToken
from projector.core.ranges import FULL_RANGE
from projector.core.start import Position
from projector.core.states import RangeState
from projector.operations.caught_up import opened_of, reached
from projector.ports.feed import RangeReport
from projector.ports.ranges import StoredRange

REPORT = RangeReport(
    lease_token=LeaseToken("0"),
    feed_range=FULL_RANGE,
    owner=InstanceName("me"),
    state=RangeState.READING,
    state_since=datetime(2026, 11, 26, tzinfo=UTC),
    epoch=Epoch(4),
    range_id=7,
    replay_open=False,
)
STORED = StoredRange(
    range_id=7,
    container_rid="rid",
    lease_token=LeaseToken("0"),
    processor_name="p",
    feed_range=FULL_RANGE,
    epoch=Epoch(4),
    opened_epoch=Epoch(4),
    lineage=0,
    position=Position(continuation=None, lsn=9),
    replay_phase="running",
)


@pytest.mark.parametrize(
    ("state", "replay_open", "opened"),
    [
        (RangeState.READING, False, True),
        (RangeState.THROTTLED, True, True),
        (RangeState.READING, None, False),
        (RangeState.STARTING, False, False),
        (RangeState.FENCED_OUT, False, False),
        (RangeState.STOPPED, False, False),
    ],
)
def test_a_range_is_open_when_its_host_has_opened_it_and_holds_it(
    state: RangeState, *, replay_open: bool | None, opened: bool
) -> None:
    told = opened_of([replace(REPORT, state=state, replay_open=replay_open)])
    assert told == (frozenset({(7, Epoch(4))}) if opened else frozenset())


def test_another_epoch_is_not_that_opening() -> None:
    for epoch, opened in ((Epoch(4), True), (Epoch(5), False)):
        [one] = reached([STORED], frozenset({(7, epoch)}))
        assert (one.opened, one.lsn, one.started, one.replaying) == (opened, 9, True, True)
