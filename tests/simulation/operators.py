"""What runs beside the hosts: retry of quarantined documents, verify and repair, housekeeping.

The same code as the commands run, with every call to the container and to the tables behind a gate,
so that it meets live batches, sweeps, splits and resets at any point.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from random import Random
from typing import Any, cast

from cosmos_emulator import Engine
from projector.core.errors import FeedRangeGone, ProjectorError, SinkUnavailable
from projector.ports.feed import FeedTarget
from projector.ports.points import ScannedPage
from projector.ports.verification import VerifyStore
from projector.postgres.connections import Connections
from projector.postgres.housekeeping import (
    purge_closed_entries,
    purge_empty_totals,
    purge_tombstones,
)
from projector.postgres.quarantine import list_entries
from projector.postgres.verification import Verification
from projector.reconcile.answers import Judge
from projector.reconcile.repair import Repair, Retry
from projector.reconcile.report import VerifyReport
from projector.reconcile.verify import Verifier, VerifyOptions
from tests.simulation.loop import VirtualClock, VirtualLoop
from tests.simulation.ports import (
    CART,
    DATABASE,
    Passage,
    SimulatedPoints,
    SimulatedSource,
    pinned,
)
from tests.simulation.trade import Trade


def _lost() -> ProjectorError:
    return SinkUnavailable("the simulated network lost PostgreSQL")


class Gated:
    """Any object with async methods, each call behind a passage."""

    def __init__(self, behind: object, passage: Passage) -> None:
        self._behind = behind
        self._passage = passage

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._behind, name)

        async def call(*arguments: Any, **named: Any) -> Any:
            return await self._passage.cross(name, _lost, lambda: method(*arguments, **named))

        return call


class GatedVerification(Gated):
    """The tables for verify and retry; a comparison holds its session from gate to gate."""

    @asynccontextmanager
    async def comparison(self) -> AsyncIterator[Gated]:
        context = cast("VerifyStore", self._behind).comparison()
        inner = await self._passage.cross("comparison", _lost, context.__aenter__)
        try:
            yield Gated(inner, self._passage)
        except BaseException as error:
            with self._passage.io():  # translates errors of the driver, so it may raise another
                await context.__aexit__(type(error), error, error.__traceback__)
            raise
        else:
            with self._passage.io():
                await context.__aexit__(None, None, None)


class SimulatedScanner:
    """`DocumentScanner` over the engine, a few documents at a time."""

    def __init__(self, engine: Engine, passage: Passage) -> None:
        self._engine = engine
        self._passage = passage
        self._rid = engine.container(DATABASE, CART).rid

    async def count(self) -> int | None:
        return None

    async def scan(
        self, target: FeedTarget, next_page: str | None, *, max_documents: int
    ) -> ScannedPage:
        async def act() -> ScannedPage:
            container = pinned(self._engine, self._rid)
            living = {partition.range_id: partition for partition in container.partitions()}
            if target.range_id not in living:
                raise FeedRangeGone(f"range {target.range_id} is gone")
            own = target.feed_range
            found = [d.point_body for d in container.documents(own.min, own.max)]
            begin = int(next_page or 0)
            end = begin + max_documents
            body = b'{"_rid":"%s","Documents":[%s]}' % (
                container.rid.encode(),
                b",".join(found[begin:end]),
            )
            return ScannedPage(
                body=body,
                next_page=str(end) if end < len(found) else None,
                session_lsn=living[target.range_id].lsn,
            )

        return await self._passage.cross("scan", _lost, act)


class Operator:
    """Runs one job at a time, as a command beside the hosts would."""

    def __init__(
        self,
        *,
        loop: VirtualLoop,
        engine: Engine,
        connections: Connections,
        random: Random,
        name: str,
        trade: Trade,
    ) -> None:
        self._trade = trade
        self.passage = Passage(loop, random, name)
        self._connections = connections
        self._engine = engine
        self._random = random
        self._clock = VirtualClock(loop)
        rid = engine.container(DATABASE, CART).rid
        self._store = cast(
            "VerifyStore",
            GatedVerification(
                Verification(connections, container_rid=rid, generation=trade.generation),
                self.passage,
            ),
        )
        self._reader = SimulatedPoints(engine, self.passage)

    async def retry(self) -> None:
        """Retry every open quarantine entry."""
        entries = await self.passage.cross(
            "entries", _lost, lambda: list_entries(self._connections)
        )
        judge = Judge(reader=self._reader, projection=self._trade.projection)
        retry = Retry(store=self._store, repair=Repair(store=self._store, judge=judge))
        await retry.run([(one.id, one.partition_key, one.document_id) for one in entries])

    async def verify(self, *, repair: bool) -> VerifyReport:
        """Compare everything, perhaps mend it."""
        verifier = Verifier(
            source=SimulatedSource(self._engine, self.passage, self._random),
            scanner=SimulatedScanner(self._engine, self.passage),
            reader=self._reader,
            projection=self._trade.projection,
            store=self._store,
            clock=self._clock,
            draw=self._random.random,
            options=VerifyOptions(page_size=self._random.choice([2, 1000])),
        )
        return await verifier.verify(repair=repair)

    async def purge(self) -> None:
        """Purge what may go."""

        async def act() -> None:
            await purge_tombstones(self._connections, generation=self._trade.generation)
            await purge_empty_totals(self._connections, generation=self._trade.generation)
            await purge_closed_entries(self._connections, age=timedelta(0))

        await self.passage.cross("purge", _lost, act)


class Operators:
    """People who start such jobs in one world, each with `begin`, beside whatever runs."""

    def __init__(
        self,
        *,
        loop: VirtualLoop,
        engine: Engine,
        random: Random,
        trade: Trade,
        pool: Callable[[], Awaitable[Connections]],
        begin: Callable[[Passage, Callable[[], Awaitable[object]]], str],
    ) -> None:
        self._loop, self._engine, self._random, self._trade = loop, engine, random, trade
        self._pool, self._begin = pool, begin
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
        operator = Operator(
            trade=self._trade,
            loop=self._loop,
            engine=self._engine,
            connections=await self._pool(),
            random=self._random,
            name=f"{job}-{self._born}",
        )
        return self._begin(operator.passage, lambda: work(operator))
