from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from projector.core.errors import ConfigurationError, SourceUnavailable, Throttled
from projector.core.ranges import FULL_RANGE, FeedRange
from projector.core.start import BEGINNING, NOW, StartFrom
from projector.core.states import RangeState
from projector.processor.progress import (
    Obstacle,
    Reached,
    SourceMark,
    behind,
    beyond,
    undecided,
    wait_until_caught_up,
)
from tests.fakes.leases import FakeLeaseStore
from tests.fakes.sink import FakeSink, Stored
from tests.fakes.source import FakeChangeSource
from tests.fakes.world import World

LEFT, RIGHT = FeedRange(min="", max="20"), FeedRange(min="20", max="FF")


def at(keys: FeedRange, lsn: int | None, *, replaying: bool = False) -> Reached:
    return Reached(feed_range=keys, started=True, lsn=lsn, replaying=replaying)


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        pytest.param([at(FULL_RANGE, 9)], True, id="at the mark"),
        pytest.param([at(FULL_RANGE, 8)], False, id="below"),
        pytest.param([at(FULL_RANGE, None)], False, id="unknown"),
        pytest.param([at(LEFT, 9)], False, id="half covered"),
        pytest.param([at(LEFT, 9), at(RIGHT, 30)], True, id="split"),
        pytest.param([at(LEFT, 9), at(RIGHT, 8)], False, id="one child behind"),
        pytest.param([], False, id="nothing"),
    ],
)
def test_ranges_pass_a_mark(ranges: list[Reached], expected: bool) -> None:
    found = behind([SourceMark(feed_range=FULL_RANGE, lsn=9)], [ranges])
    assert (found is None) is expected


def test_mark_without_a_number_asks_for_any_place() -> None:
    mark = SourceMark(feed_range=FULL_RANGE, lsn=None)
    assert behind([mark], [[at(FULL_RANGE, None)]]) is None
    idle = Reached(feed_range=FULL_RANGE, started=False, lsn=None)
    assert behind([mark], [[idle]]) is not None


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        pytest.param(at(FULL_RANGE, 9), None, id="open"),
        pytest.param(
            replace(at(FULL_RANGE, 9), opened=False), Obstacle.NOT_OPENED, id="nobody holds it"
        ),
        pytest.param(
            replace(at(FULL_RANGE, 9), anchored_from="now"),
            Obstacle.OTHER_START_FROM,
            id="anchored by another start",
        ),
        pytest.param(
            replace(at(FULL_RANGE, 9), anchored_from="2026-01-01T00:00:00+00:00"),
            None,
            id="anchored by this start",
        ),
        pytest.param(
            replace(at(FULL_RANGE, 9), anchored_from="beginning"),
            None,
            id="the beginning serves any start",
        ),
        pytest.param(at(FULL_RANGE, 9, replaying=True), Obstacle.REPLAYING, id="replay open"),
    ],
)
def test_place_counts_once_nothing_can_send_it_back(
    one: Reached, expected: Obstacle | None
) -> None:
    found = undecided([at(LEFT, 9), one], "2026-01-01T00:00:00+00:00")
    assert (None if found is None else found.obstacle) is expected


def test_place_above_the_end_is_no_sign_of_having_read_everything() -> None:
    mark = SourceMark(feed_range=FULL_RANGE, lsn=9)
    assert beyond([mark], [[at(FULL_RANGE, 9)]]) is None
    assert beyond([mark], [[at(FULL_RANGE, 10)]]) is not None


class Watch:
    """A process that waits for the others."""

    def __init__(self, world: World) -> None:
        self.source = FakeChangeSource(world.container, world.clock)
        self.leases = FakeLeaseStore(world.leases)
        self.world = world

    async def committed(self) -> Sequence[Reached]:
        return [
            Reached(
                feed_range=stored.claim.feed_range,
                started=stored.position is not None,
                lsn=None if stored.position is None else stored.position.lsn,
                replaying=stored.replay is not None,
                opened=self._opened(stored),
            )
            for stored in self.world.sink.ranges
            if not stored.retired
        ]

    def _opened(self, stored: Stored) -> bool:
        report = self.world.sink.reports.get(stored.claim.lease_token)
        return (
            report is not None
            and report.epoch == stored.epoch
            and report.state not in {RangeState.STARTING, RangeState.STOPPED}
        )

    def begin(self, start_from: StartFrom = BEGINNING) -> asyncio.Task[None]:
        return asyncio.create_task(
            wait_until_caught_up(
                source=self.source,
                leases=self.leases,
                clock=self.world.clock,
                start_from=start_from,
                committed=self.committed,
            )
        )


async def test_waits_for_ranges_of_other_hosts_and_for_sweeps(world: World) -> None:
    world.container.fill(100)
    world.sink.faults.plan("sweep", delay_seconds=20.0, times=1)
    waiting = Watch(world).begin()
    await world.pass_time(5)
    assert not waiting.done()
    world.start("a")
    await world.until(world.consistent)
    await world.pass_time(5)
    assert not waiting.done()
    await world.until(waiting.done, within_seconds=30)
    waiting.result()


async def test_takes_over_expired_leases_first(world: World) -> None:
    world.container.fill(100)
    await world.caught_up("dead")
    await world.kill("dead")
    world.container.fill(50, prefix="later")
    waiting = Watch(world).begin()
    world.start("b")
    await world.until(waiting.done, within_seconds=80)
    assert world.consistent()


async def test_changes_after_the_start_do_not_move_the_marks(world: World) -> None:
    world.container.fill(100)
    world.start("a")
    waiting = Watch(world).begin()

    async def write_for_ever() -> None:
        for number in range(100_000):
            world.container.put(f"endless-{number}")
            await world.clock.sleep(0.02)

    writer = asyncio.create_task(write_for_ever())
    await world.until(waiting.done, within_seconds=20)
    writer.cancel()


async def test_mark_outlives_a_split(world: World) -> None:
    world.container.fill(100)
    await world.caught_up()
    world.sink.faults.plan("apply", delay_seconds=3.0)
    world.container.fill(50, prefix="later")
    watch = Watch(world)
    waiting = watch.begin()
    await world.until(lambda: watch.source.faults.calls["resolve"] == 4)
    world.container.split("1")
    await world.until(waiting.done, within_seconds=20)
    assert world.consistent()


async def test_empty_target_beside_finished_leases_is_not_caught_up(world: World) -> None:
    await world.once_read(100)
    world.sink = FakeSink(world.clock, exists=world.container.find)
    waiting = Watch(world).begin()
    await world.pass_time(10)
    assert not waiting.done()
    world.start("b")
    await world.until(waiting.done, within_seconds=20)
    assert world.consistent()


async def test_bookmark_of_another_start_does_not_count_before_the_range_is_opened(
    world: World,
) -> None:
    world.container.fill(100)
    await world.caught_up("a", start_from=NOW)
    await world.stop("a")
    waiting = Watch(world).begin()
    await world.pass_time(10)
    assert not waiting.done()
    world.start("b")
    await world.until(waiting.done, within_seconds=20)
    assert world.consistent()


async def test_host_with_another_start_from_is_named(world: World) -> None:
    await world.caught_up("a", start_from=NOW)
    with capture_logs() as told:
        waiting = Watch(world).begin()
        await world.pass_time(20)
    assert not waiting.done()
    waiting.cancel()
    line = next(entry for entry in told if entry["event"] == "not_caught_up")
    assert line["waits_for"] == "other_start_from"
    assert "of a" in line["ranges"][0]
    assert line["log_level"] == "warning"


async def test_restored_source_is_read_again_before_it_counts() -> None:
    one = World(partitions=1)
    one.container.fill(40)
    await one.caught_up()
    one.container.rewind(10)
    waiting = Watch(one).begin()
    await one.until(waiting.done, within_seconds=60)
    assert one.consistent()
    await one.stop_all()


async def test_outages_are_waited_out_and_mistakes_are_raised(world: World) -> None:
    watch = Watch(world)
    watch.source.faults.plan("ranges", SourceUnavailable("503"), times=3)
    watch.leases.faults.plan("list", ConfigurationError("no right to read"))
    waiting = watch.begin()
    await world.until(waiting.done)
    with pytest.raises(ConfigurationError):
        waiting.result()


async def test_a_source_that_is_throttled_is_asked_ever_more_slowly() -> None:
    world = World()
    member = await world.caught_up()
    before = member.source.faults.calls["ranges"]
    member.source.faults.plan("ranges", Throttled(retry_after_seconds=0.0), times=None)
    waiting = asyncio.create_task(
        wait_until_caught_up(
            source=member.source, leases=member.leases, clock=world.clock, start_from=BEGINNING
        )
    )
    await world.pass_time(60)
    assert member.source.faults.calls["ranges"] - before < 40
    member.source.faults.clear()
    await waiting
    await world.stop_all()
