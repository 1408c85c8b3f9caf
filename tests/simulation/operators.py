"""What runs beside the hosts: retry of quarantined documents, verify and repair, housekeeping.

The same code as the commands run, with every call to the container and to the tables behind a gate,
so that it meets live batches, sweeps, splits and resets at any point.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, cast

from projector.ports.generations import GenerationRecord
from projector.ports.verification import VerifyStore
from projector.postgres.connections import Connections
from projector.postgres.generations import generation_of
from projector.postgres.housekeeping import (
    purge_closed_entries,
    purge_empty_totals,
    purge_tombstones,
)
from projector.postgres.quarantine import list_entries
from projector.postgres.verification import Verification
from projector.projection.project import Projection
from projector.reconcile.answers import Judge
from projector.reconcile.repair import Repair, Retry
from projector.reconcile.report import VerifyReport
from projector.reconcile.verify import Verifier, VerifyOptions
from tests.simulation.documents import SimulatedPoints, SimulatedScanner
from tests.simulation.ports import CART, DATABASE, Passage, SimulatedSource
from tests.simulation.world import Begin, World, clock_of, lost


class Gated:
    """Any object with async methods, each call behind a passage."""

    def __init__(self, behind: object, passage: Passage) -> None:
        self._behind = behind
        self._passage = passage

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._behind, name)

        async def call(*arguments: Any, **named: Any) -> Any:
            return await self._passage.cross(name, lost, lambda: method(*arguments, **named))

        return call


class GatedVerification(Gated):
    """The tables for verify and retry; a comparison holds its session from gate to gate."""

    @asynccontextmanager
    async def comparison(self) -> AsyncIterator[Gated]:
        context = cast("VerifyStore", self._behind).comparison()
        inner = await self._passage.cross("comparison", lost, context.__aenter__)
        try:
            yield Gated(inner, self._passage)
        except BaseException as error:
            with self._passage.io():  # translates errors of the driver, so it may raise another
                await context.__aexit__(type(error), error, error.__traceback__)
            raise
        else:
            with self._passage.io():
                await context.__aexit__(None, None, None)


class Operator:
    """Runs one job on one generation at a time, as a command beside the hosts would."""

    def __init__(
        self, *, world: World, record: GenerationRecord, pool: Connections, passage: Passage
    ) -> None:
        self.passage = passage
        self._projection = Projection(record.definition)
        self._generation = generation_of(record)
        self._connections = pool
        self._engine, self._random = world.engine, world.random
        self._clock = clock_of(world)
        rid = world.engine.container(DATABASE, CART).rid
        self._store = cast(
            "VerifyStore",
            GatedVerification(
                Verification(pool, container_rid=rid, generation=self._generation), passage
            ),
        )
        self._reader = SimulatedPoints(world.engine, passage)

    async def retry(self) -> None:
        """Retry every open quarantine entry."""
        entries = await self.passage.cross("entries", lost, lambda: list_entries(self._connections))
        judge = Judge(reader=self._reader, projection=self._projection)
        retry = Retry(store=self._store, repair=Repair(store=self._store, judge=judge))
        await retry.run([(one.id, one.partition_key, one.document_id) for one in entries])

    async def verify(self, *, repair: bool) -> VerifyReport:
        """Compare everything, perhaps mend it."""
        verifier = Verifier(
            source=SimulatedSource(self._engine, self.passage, self._random),
            scanner=SimulatedScanner(self._engine, self.passage),
            reader=self._reader,
            projection=self._projection,
            store=self._store,
            clock=self._clock,
            draw=self._random.random,
            options=VerifyOptions(page_size=self._random.choice([2, 1000])),
        )
        return await verifier.verify(repair=repair)

    async def purge(self) -> None:
        """Purge what may go."""

        async def act() -> None:
            await purge_tombstones(self._connections, generation=self._generation)
            await purge_empty_totals(self._connections, generation=self._generation)
            await purge_closed_entries(self._connections, age=timedelta(0))

        await self.passage.cross("purge", lost, act)


class Operators:
    """People who start such jobs in one world, each with `begin`, beside whatever runs."""

    def __init__(self, world: World, begin: Begin) -> None:
        self._world, self._begin = world, begin
        self._born = 0

    async def purge(self) -> str:
        return await self._start("purge", lambda operator: operator.purge())

    async def retry(self) -> str:
        return await self._start("retry", lambda operator: operator.retry())

    async def verify(self) -> str:
        return await self._start("verify", lambda operator: operator.verify(repair=False))

    async def repair(self) -> str:
        return await self._start("repair", lambda operator: operator.verify(repair=True))

    async def _start(self, job: str, work: Callable[[Operator], Awaitable[object]]) -> str:
        self._born += 1
        record = await self._world.some()
        name = f"{job}-{self._born}"
        operator = await operator_of(self._world, record, name)
        told = self._begin(operator.passage, lambda: work(operator))
        return f"{told} of generation {record.id}"


async def operator_of(
    world: World, record: GenerationRecord, name: str, passage: Passage | None = None
) -> Operator:
    """One who works on that generation."""
    return Operator(
        world=world,
        record=record,
        pool=await world.pool(record.control),
        passage=passage or Passage(world.loop, world.random, name),
    )
