"""Waits as `run --until-caught-up` does: for the tables and the bookmarks alike."""

from __future__ import annotations

from random import Random

from projector.emulator import Engine
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.positions import positions
from projector.processor.progress import Reached, wait_until_caught_up
from tests.simulation.hosts import prefix_of
from tests.simulation.loop import VirtualClock, VirtualLoop
from tests.simulation.ports import CART, DATABASE, Passage, SimulatedLeases, SimulatedSource


async def caught_up(engine: Engine, loop: VirtualLoop, url: str) -> None:
    """Wait until every range of the usual processor has passed the end as it stands now."""
    clock = VirtualClock(loop)
    passage = Passage(loop, Random(0), "judge")
    async with Connections(ConnectionOptions(url=url, connections=1)) as pool:

        async def committed() -> list[Reached]:
            with loop.real_io():
                found = await positions(pool, engine.container(DATABASE, CART).rid)
            return [
                Reached(
                    feed_range=p.feed_range,
                    started=p.started,
                    lsn=p.lsn,
                    replaying=p.replaying,
                )
                for p in found
            ]

        await wait_until_caught_up(
            source=SimulatedSource(engine, passage, Random(0)),
            leases=SimulatedLeases(engine, passage, prefix=prefix_of(engine), clock=clock),
            clock=clock,
            committed=committed,
            poll_seconds=5.0,
        )
