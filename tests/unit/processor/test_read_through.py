"""How far a partition was read: what session tokens are held against, so it is never told too early."""

from __future__ import annotations

from dataclasses import replace

from projector.core.lease import Lease
from projector.core.names import Continuation, InstanceName, LeaseToken
from projector.core.ranges import FULL_RANGE, FeedRange
from projector.core.start import Position
from projector.ports.feed import Applied, PhysicalRange, ReadThrough
from projector.processor.status import RangeStatus
from tests.fakes.clock import FakeClock

LOW = FeedRange(min="", max="80")
PARENT = PhysicalRange(id="0", feed_range=FULL_RANGE)
CHILD = PhysicalRange(id="1", feed_range=LOW)


def position(lsn: int) -> Position:
    return Position(continuation=Continuation(f'"{lsn}"'), lsn=lsn)


def status() -> RangeStatus:
    lease = Lease(id="0", token=LeaseToken("0"), feed_range=LOW)
    return RangeStatus(lease=lease, owner=InstanceName("a"), clock=FakeClock())


async def test_a_position_that_another_partition_counted_says_nothing_of_this_one() -> None:
    one = status()
    one.started(position(500), replay_open=False, home=CHILD)
    assert one.report().read_through is None
    one.moved(position(12), Applied())
    assert one.report().read_through == ReadThrough(partition_id="1", keys=LOW, lsn=12)


async def test_a_poll_without_changes_tells_how_far_the_partition_was_read() -> None:
    one = status()
    one.started(position(500), replay_open=False, home=PARENT)
    one.nothing_unread(since=FakeClock().now(), lsn=510)
    expected = ReadThrough(partition_id="0", keys=FULL_RANGE, lsn=510)
    assert one.report().read_through == expected
    one.nothing_unread(since=FakeClock().now(), lsn=None)
    assert one.report().read_through == expected


async def test_a_range_that_is_opened_anew_has_read_nothing_yet() -> None:
    one = status()
    one.started(position(5), replay_open=False, home=PARENT)
    one.moved(position(7), Applied())
    one.reopening()
    assert one.report().read_through is None
    one.started(position(7), replay_open=False, home=replace(PARENT, id="3"))
    assert one.report().read_through is None
