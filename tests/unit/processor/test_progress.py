from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from projector.core.errors import ConfigurationError, SourceUnavailable
from projector.core.ranges import FULL_RANGE, FeedRange
from projector.processor.progress import Reached, SourceMark, passed, wait_until_caught_up
from tests.fakes.leases import FakeLeaseStore
from tests.fakes.sink import FakeSink
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
        pytest.param([at(FULL_RANGE, 9, replaying=True)], False, id="replay open"),
        pytest.param([], False, id="nothing"),
    ],
)
def test_ranges_pass_a_mark(ranges: list[Reached], expected: bool) -> None:
    assert passed([SourceMark(feed_range=FULL_RANGE, lsn=9)], ranges) is expected


def test_mark_without_a_number_asks_for_any_place() -> None:
    mark = SourceMark(feed_range=FULL_RANGE, lsn=None)
    assert passed([mark], [at(FULL_RANGE, None)])
    idle = Reached(feed_range=FULL_RANGE, started=False, lsn=None)
    assert not passed([mark], [idle])


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
                started=stored.place is not None,
                lsn=None if stored.place is None else stored.place.lsn,
                replaying=stored.replay is not None,
            )
            for stored in self.world.sink.ranges
            if not stored.retired
        ]

    def begin(self) -> asyncio.Task[None]:
        return asyncio.create_task(
            wait_until_caught_up(
                source=self.source,
                leases=self.leases,
                clock=self.world.clock,
                committed=self.committed,
            )
        )


async def test_waits_for_ranges_of_other_hosts_and_for_sweeps(world: World) -> None:
    world.container.fill(100)
    world.sink.faults.plan("settle", delay_seconds=20.0, times=1)
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
    world.start("dead")
    await world.until(world.bookmarked)
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
    watch = Watch(world)
    waiting = watch.begin()
    await world.until(lambda: watch.source.faults.calls["resolve"] == 4)
    await world.pass_time(1)
    world.container.split("1")
    world.start("a")
    await world.until(waiting.done, within_seconds=20)
    assert world.consistent()


async def test_empty_target_beside_finished_leases_is_not_caught_up(world: World) -> None:
    world.container.fill(100)
    world.start("a")
    await world.until(world.bookmarked)
    await world.stop("a")
    world.sink = FakeSink(world.clock, exists=world.container.find)
    waiting = Watch(world).begin()
    await world.pass_time(10)
    assert not waiting.done()
    world.start("b")
    await world.until(waiting.done, within_seconds=20)
    assert world.consistent()


async def test_outages_are_waited_out_and_mistakes_are_raised(world: World) -> None:
    watch = Watch(world)
    watch.source.faults.plan("ranges", SourceUnavailable("503"), times=3)
    watch.leases.faults.plan("list", ConfigurationError("no right to read"))
    waiting = watch.begin()
    await world.until(waiting.done)
    with pytest.raises(ConfigurationError):
        waiting.result()
