"""Waits as `run --until-caught-up` does: for the tables, the bookmarks and the hosts alike."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from random import Random

from projector.core.start import BEGINNING, StartFrom, StartKind
from projector.operations.caught_up import opened_of, reached
from projector.ports.generations import GenerationRecord
from projector.ports.ranges import OpenedRange
from projector.postgres.ranges import live_ranges
from projector.processor.progress import Reached, wait_until_caught_up
from tests.simulation.hosts import SimulatedHost
from tests.simulation.ports import CART, DATABASE, Passage, SimulatedLeases, SimulatedSource
from tests.simulation.world import World, clock_of, lost, prefix_of, processor_of


def start_of(generation: int, start_from: StartFrom) -> StartFrom:
    """Where hosts of that setting begin a range of that generation: one that was made later not at its end."""
    return BEGINNING if generation > 1 and start_from.kind is StartKind.NOW else start_from


async def caught_up(
    *,
    world: World,
    record: GenerationRecord,
    passage: Passage,
    start_from: StartFrom,
    hosts: Callable[[], Collection[SimulatedHost]],
    poll_seconds: float = 2.0,
) -> None:
    """Wait until every range of that generation is caught up with.

    `hosts` are those that live; the reports in the tables bear the time of another clock.
    """
    engine, clock = world.engine, clock_of(world)
    pool = await world.pool(record.control)
    rid = engine.container(DATABASE, CART).rid

    async def read() -> Sequence[Reached]:
        stored = await live_ranges(pool, rid)
        return reached(stored, await opened())

    async def opened() -> frozenset[OpenedRange]:
        return opened_of(report for host in hosts() for report in host.reports(record.id))

    await wait_until_caught_up(
        source=SimulatedSource(engine, passage, Random(0)),
        leases=SimulatedLeases(
            engine, passage, prefix=prefix_of(engine, processor_of(record.id)), clock=clock
        ),
        clock=clock,
        start_from=start_of(record.id, start_from),
        committed=lambda: passage.cross("committed", lost, read),
        poll_seconds=poll_seconds,
    )
