"""Waits as `run --until-caught-up` does: for the tables and the bookmarks alike."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from projector.emulator import Engine
from projector.postgres.connections import ConnectionOptions, Connections
from projector.processor.progress import Reached, wait_until_caught_up
from projector.wiring.service import reached
from tests.simulation.hosts import prefix_of
from tests.simulation.loop import VirtualClock, VirtualLoop
from tests.simulation.ports import CART, DATABASE, Passage, SimulatedLeases, SimulatedSource


async def caught_up(engine: Engine, loop: VirtualLoop, url: str) -> None:
    """Wait until every range of the usual processor has passed the end as it stands now."""
    clock = VirtualClock(loop)
    passage = Passage(loop, Random(0), "judge")
    async with Connections(ConnectionOptions(url=url, connections=1)) as pool:

        async def committed() -> Sequence[Reached]:
            with loop.real_io():
                return await reached(pool, engine.container(DATABASE, CART).rid)

        await wait_until_caught_up(
            source=SimulatedSource(engine, passage, Random(0)),
            leases=SimulatedLeases(engine, passage, prefix=prefix_of(engine), clock=clock),
            clock=clock,
            committed=committed,
            poll_seconds=5.0,
        )
