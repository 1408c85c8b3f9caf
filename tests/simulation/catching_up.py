"""Waits as `run --until-caught-up` does: for the tables, the bookmarks and the hosts alike."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from random import Random

from cosmos_emulator import Engine
from projector.core.errors import ProjectorError, SinkUnavailable
from projector.core.start import StartFrom
from projector.operations.caught_up import opened_of, reached
from projector.ports.ranges import OpenedRange
from projector.postgres.connections import Connections
from projector.postgres.ranges import live_ranges
from projector.processor.progress import Reached, wait_until_caught_up
from tests.simulation.hosts import SimulatedHost, prefix_of
from tests.simulation.loop import VirtualClock, VirtualLoop
from tests.simulation.ports import CART, DATABASE, Passage, SimulatedLeases, SimulatedSource


def _lost() -> ProjectorError:
    return SinkUnavailable("the simulated network lost PostgreSQL")


async def caught_up(
    *,
    engine: Engine,
    loop: VirtualLoop,
    pool: Connections,
    passage: Passage,
    start_from: StartFrom,
    hosts: Callable[[], Collection[SimulatedHost]],
    poll_seconds: float = 2.0,
) -> None:
    """Wait until every range of the usual processor is caught up with.

    `hosts` are those that live; the reports in the tables bear the time of another clock.
    """
    clock = VirtualClock(loop)
    rid = engine.container(DATABASE, CART).rid

    async def read() -> Sequence[Reached]:
        stored = await live_ranges(pool, rid)
        return reached(stored, await opened())

    async def opened() -> frozenset[OpenedRange]:
        return opened_of(report for host in hosts() for report in host.host.reports())

    await wait_until_caught_up(
        source=SimulatedSource(engine, passage, Random(0)),
        leases=SimulatedLeases(engine, passage, prefix=prefix_of(engine), clock=clock),
        clock=clock,
        start_from=start_from,
        committed=lambda: passage.cross("committed", _lost, read),
        poll_seconds=poll_seconds,
    )
