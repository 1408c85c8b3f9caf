"""What nobody knows is never shown as 0, and how far a partition was read is never told too early.

Gap and lag while the source does not answer; what session tokens are held against.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from projector.core.errors import ProjectorError, SinkUnavailable, SourceUnavailable, Throttled
from projector.core.lease import Lease
from projector.core.names import Continuation, InstanceName, LeaseToken
from projector.core.ranges import FULL_RANGE, FeedRange
from projector.core.start import Position
from projector.ports.feed import Applied, PhysicalRange, RangeReport, ReadThrough
from projector.processor.status import RangeStatus
from tests.fakes.clock import FakeClock
from tests.fakes.world import World

HOME = PhysicalRange(id="0", feed_range=FULL_RANGE)


def told(world: World) -> RangeReport:
    [report] = [r for member in world.members.values() for r in member.host.reports()]
    return report


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(Throttled(retry_after_seconds=0.5), id="throttled"),
        pytest.param(SourceUnavailable("503"), id="down"),
    ],
)
async def test_while_the_source_refuses_to_answer_gap_and_lag_are_unknown(
    one: World, error: ProjectorError
) -> None:
    member = await one.caught_up()
    await one.pass_time(5)
    assert (told(one).gap_changes, told(one).lag_seconds) == (0, 0.0)
    member.source.faults.plan("read", error, times=None)
    one.container.fill(5)
    await one.pass_time(40)
    assert (told(one).gap_changes, told(one).lag_seconds) == (None, None)
    member.source.faults.clear()
    await one.until(lambda: told(one).lag_seconds == 0.0)


async def test_while_a_read_hangs_gap_and_lag_are_unknown(one: World) -> None:
    member = await one.caught_up()
    await one.pass_time(5)
    member.source.faults.plan("read", hang=True)
    await one.pass_time(4)
    assert told(one).lag_seconds == 0.0
    await one.pass_time(4)
    assert (told(one).gap_changes, told(one).lag_seconds) == (None, None)
    await one.kill("a")


async def test_a_range_that_is_left_alone_after_a_failure_is_not_said_to_be_complete(
    one: World,
) -> None:
    await one.caught_up()
    await one.pass_time(5)
    one.sink.faults.plan("apply", RuntimeError("a bug"), times=None)
    one.container.fill(1)
    await one.until(lambda: told(one).state == "stopped")
    assert (told(one).gap_changes, told(one).lag_seconds) == (None, None)
    await one.kill("a")


async def test_a_target_that_is_down_lets_the_lag_grow(one: World) -> None:
    await one.caught_up()
    await one.pass_time(5)
    one.sink.faults.plan("apply", SinkUnavailable("down"), times=None)
    one.container.fill(3)
    await one.pass_time(30)
    assert (told(one).gap_changes or 0) > 0
    assert (told(one).lag_seconds or 0.0) > 25
    await one.kill("a")


async def test_a_range_that_is_opened_anew_forgets_what_was_known_of_its_end() -> None:
    clock = FakeClock()
    lease = Lease(id="0", token=LeaseToken("0"), feed_range=FULL_RANGE)
    status = RangeStatus(lease=lease, owner=InstanceName("a"), clock=clock)
    position = Position(continuation=Continuation('"5"'), lsn=5)
    status.started(position, replay_open=False, home=HOME)
    status.nothing_unread(since=clock.now(), lsn=7)
    assert status.report().lag_seconds == 0.0
    status.reopening()
    status.started(position, replay_open=True, home=HOME)
    report = status.report()
    assert (report.gap_changes, report.lag_seconds, report.caught_up_at) == (None, None, None)


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
