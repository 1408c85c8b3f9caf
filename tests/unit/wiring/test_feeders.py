from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

from projector.ports.generations import GenerationRecord, GenerationState
from projector.postgres.generations import Registered
from projector.projection.carts import CARTS
from projector.wiring.feeders import Feeders
from projector.wiring.feeding import Feeder, Surroundings
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
    """A feeder that only waits for its end."""

    host = None
    reached = None

    def __init__(self, record: GenerationRecord, _around: Surroundings) -> None:
        self.record = record
        self.filling = record.state is GenerationState.FILLING

    @property
    def live(self) -> bool:
        return self.record.state is GenerationState.LIVE

    async def now(self, record: GenerationRecord) -> None:
        self.record = record

    async def run(self) -> None:
        await asyncio.Event().wait()


async def desk(_feeder: Feeder) -> None:
    await asyncio.Event().wait()


def make(record: GenerationRecord, around: Surroundings) -> Feeder:
    return cast("Feeder", Waiting(record, around))


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
