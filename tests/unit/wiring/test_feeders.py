from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from projector.core.errors import SinkUnavailable
from projector.ports.generations import GenerationRecord, GenerationState
from projector.postgres import generations as registry
from projector.postgres.generations import Registered
from projector.projection.carts import CARTS
from projector.wiring.feeders import Feeders
from projector.wiring.feeding import Feeder, Surroundings
from projector.wiring.servers import Servers
from tests.fakes.clock import FakeClock

LIVE = GenerationRecord(
    id=1,
    schema="projector_g1",
    control="projector",
    definition=CARTS,
    definition_hash="",
    processor_name="projector",
    state=GenerationState.LIVE,
)
FILLED = replace(LIVE, id=2, schema="projector_g2", state=GenerationState.FILLING)


class Waiting:
    """A feeder that only waits for its end; a job's is caught up once it was told to be."""

    host = None
    reached = None

    def __init__(self, record: GenerationRecord, _around: Surroundings) -> None:
        self.record = record
        self.filling = record.state is GenerationState.FILLING
        self.caught_up = asyncio.Event()

    @property
    def live(self) -> bool:
        return self.record.state is GenerationState.LIVE

    async def now(self, record: GenerationRecord) -> None:
        self.record = record

    async def run(self) -> None:
        await self.caught_up.wait()


async def desk(_feeder: Feeder) -> None:
    await asyncio.Event().wait()


def make(record: GenerationRecord, around: Surroundings) -> Feeder:
    return cast("Feeder", Waiting(record, around))


class FakeRegistry:
    """What of the registry a process sees."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *records: GenerationRecord) -> None:
        self._records = records
        self._changed = asyncio.Event()
        monkeypatch.setattr(registry, "fed", self._fed)
        monkeypatch.setattr(registry, "wait_for_change", self._wait_for_change)

    def says(self, *records: GenerationRecord) -> None:
        self._records = records
        self._changed.set()

    def says_unheard(self, *records: GenerationRecord) -> None:
        self._records = records

    async def _fed(self, _: object) -> list[Registered]:
        return [Registered(record=one) for one in self._records]

    async def _wait_for_change(self, *_: object, **__: object) -> None:
        await self._changed.wait()
        self._changed.clear()


def feeders_of_a_job() -> Feeders:
    clock = FakeClock()
    around = SimpleNamespace(
        once=True,
        clock=clock,
        servers=Servers(clock=clock),
        target=SimpleNamespace(connections=SimpleNamespace(session=nullcontext)),
    )
    return Feeders(cast("Surroundings", around), desk, make=make)


async def fed_by(feeders: Feeders, *numbers: int) -> list[Waiting]:
    """The feeders of exactly these generations, once they run."""
    async with asyncio.timeout(10):
        while set(feeders._running) != set(numbers):  # noqa: ASYNC110 - no event tells of them
            await asyncio.sleep(0.1)
    return [cast("Waiting", feeders._running[number][0]) for number in numbers]


def feeders_of_a_service() -> Feeders:
    return Feeders(
        cast("Surroundings", SimpleNamespace(once=False, clock=FakeClock())), desk, make=make
    )


async def test_a_host_that_hears_late_that_what_it_fills_is_live_goes_on() -> None:
    feeders = feeders_of_a_service()
    promoted = replace(FILLED, state=GenerationState.LIVE)
    former = replace(LIVE, state=GenerationState.FORMER)
    async with asyncio.TaskGroup() as group:
        await feeders._fit(group, [Registered(record=LIVE), Registered(record=FILLED)])
        await asyncio.sleep(0)  # they have begun
        await feeders._fit(group, [Registered(record=promoted), Registered(record=former)])
        assert not feeders._stopping
        assert feeders.live is not None
        assert feeders.live.record == promoted
        feeders.request_stop()
        feeders._leave_desk()


async def test_a_feeder_that_ends_before_it_ran_is_fed_again_when_the_registry_says_so() -> None:
    feeders = feeders_of_a_service()
    following = replace(FILLED, state=GenerationState.FOLLOWING)
    async with asyncio.TaskGroup() as group:
        await feeders._fit(group, [Registered(record=LIVE), Registered(record=FILLED)])
        filled_here, _ = feeders._running[FILLED.id]
        await feeders._fit(group, [Registered(record=LIVE), Registered(record=following)])
        follower, _ = feeders._running[FILLED.id]
        assert follower is not filled_here
        assert follower.record == following
        feeders.request_stop()  # none of them has begun
        feeders._leave_desk()
    assert not feeders._running
    assert feeders._ended.is_set()


@pytest.mark.parametrize("hears", [True, False], ids=["hears of it", "looks at its end"])
async def test_a_job_ends_when_what_readers_see_by_then_is_caught_up(
    monkeypatch: pytest.MonkeyPatch, hears: bool
) -> None:
    found = FakeRegistry(monkeypatch, LIVE, FILLED)
    promoted = replace(FILLED, state=GenerationState.LIVE)
    former = replace(LIVE, state=GenerationState.FORMER)
    feeders = feeders_of_a_job()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        job = group.create_task(feeders.run())
        (first,) = await fed_by(feeders, LIVE.id)
        if hears:
            found.says(promoted, former)
            first, second = await fed_by(feeders, LIVE.id, FILLED.id)
            first.caught_up.set()
        else:
            found.says_unheard(promoted, former)
            first.caught_up.set()
            (second,) = await fed_by(feeders, FILLED.id)
        assert second.live
        assert not job.done()
        second.caught_up.set()
        await job


async def test_a_job_feeds_no_longer_what_was_given_up_meanwhile_and_nothing_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    following = replace(FILLED, state=GenerationState.FOLLOWING)
    found = FakeRegistry(monkeypatch, LIVE, following)
    feeders = feeders_of_a_job()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        job = group.create_task(feeders.run())
        first, _ = await fed_by(feeders, LIVE.id, FILLED.id)
        found.says(LIVE)
        await fed_by(feeders, LIVE.id)
        first.caught_up.set()
        await job


@pytest.mark.parametrize("down", ["at the start", "at the end"])
async def test_a_job_that_asks_a_target_that_is_down_ends_when_it_is_stopped(
    monkeypatch: pytest.MonkeyPatch, down: str
) -> None:
    FakeRegistry(monkeypatch, LIVE)
    feeders = feeders_of_a_job()

    async def fails(_: object) -> list[Registered]:
        raise SinkUnavailable("down")

    async with asyncio.timeout(600), asyncio.TaskGroup() as group:
        if down == "at the start":
            monkeypatch.setattr(registry, "fed", fails)
        job = group.create_task(feeders.run())
        if down == "at the end":
            (live,) = await fed_by(feeders, LIVE.id)
            monkeypatch.setattr(registry, "fed", fails)
            live.caught_up.set()
        await asyncio.sleep(5)
        assert not job.done()
        feeders.request_stop()
        await job
