"""One simulated host: the real processor and the real PostgreSQL sink behind gates."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from random import Random

from cosmos_emulator import Engine
from projector.core.errors import ProjectorError, SinkUnavailable, SourceRecreated
from projector.core.names import InstanceName, LeaseToken
from projector.core.start import BEGINNING, Position, StartFrom
from projector.cosmos.lease_documents import lease_prefix
from projector.ports.feed import Applied, Beginning, Grant, Page, RangeClaim, RangeReport, Sink
from projector.ports.rows import DocumentKey, Mended, ReadMark, SweepStore, Verdict
from projector.postgres.connections import Connections
from projector.postgres.sink import PostgresSink
from projector.postgres.sweep import VerdictStore
from projector.processor.host import Host
from projector.processor.options import ProcessorOptions
from projector.projection.writes import ProjectedPage
from projector.reconcile.answers import Judge
from projector.reconcile.reads import PatientReader, Reads
from projector.reconcile.sweep import Sweeper
from tests.simulation.loop import VirtualClock, VirtualLoop
from tests.simulation.ports import (
    CART,
    DATABASE,
    HostCrashed,
    Passage,
    SimulatedLeases,
    SimulatedPoints,
    SimulatedSource,
)
from tests.simulation.trade import Trade

PROCESSOR = "projector"
STRANGER = "stranger"


def _sink_failure() -> ProjectorError:
    return SinkUnavailable("the simulated network lost PostgreSQL")


class GatedSink:
    """The PostgreSQL sink, each call behind the host's passage."""

    def __init__(self, sink: Sink[ProjectedPage], passage: Passage) -> None:
        self._sink = sink
        self._passage = passage

    async def open(self, claim: RangeClaim) -> Grant:
        return await self._passage.cross(
            f"sink.open {claim.lease_token}", _sink_failure, lambda: self._sink.open(claim)
        )

    async def begin(self, grant: Grant, beginning: Beginning) -> Grant:
        return await self._passage.cross(
            f"sink.begin {grant.claim.lease_token}",
            _sink_failure,
            lambda: self._sink.begin(grant, beginning),
        )

    def prepare(self, page: Page) -> ProjectedPage:
        return self._sink.prepare(page)

    async def apply(
        self, grant: Grant, pages: Sequence[ProjectedPage], position: Position
    ) -> Applied:
        return await self._passage.cross(
            f"sink.apply {grant.claim.lease_token}",
            _sink_failure,
            lambda: self._sink.apply(grant, pages, position),
        )

    async def report(self, reports: Sequence[RangeReport]) -> frozenset[LeaseToken]:
        return await self._passage.cross(
            "sink.report", _sink_failure, lambda: self._sink.report(reports)
        )


class GatedSweepStore:
    """The storage side of sweeps, each call behind the host's passage."""

    def __init__(self, store: SweepStore, passage: Passage) -> None:
        self._store = store
        self._passage = passage

    async def mark(self, grant: Grant) -> ReadMark:
        return await self._passage.cross(
            "sweep.mark", _sink_failure, lambda: self._store.mark(grant)
        )

    async def sweep_candidates(
        self, grant: Grant, *, after: DocumentKey | None, limit: int
    ) -> Sequence[DocumentKey]:
        return await self._passage.cross(
            "sweep.candidates",
            _sink_failure,
            lambda: self._store.sweep_candidates(grant, after=after, limit=min(limit, 3)),
        )

    async def apply_verdicts(
        self, grant: Grant, *, mark: ReadMark, verdicts: Sequence[Verdict]
    ) -> Mended:
        return await self._passage.cross(
            "sweep.verdicts",
            _sink_failure,
            lambda: self._store.apply_verdicts(grant, mark=mark, verdicts=verdicts),
        )

    async def finish_replay(self, grant: Grant, *, swept: Mended | None = None) -> None:
        await self._passage.cross(
            "sweep.finish", _sink_failure, lambda: self._store.finish_replay(grant, swept=swept)
        )


def prefix_of(engine: Engine, processor: str = PROCESSOR) -> str:
    return lease_prefix(
        processor_name=processor,
        endpoint_host="simulated.documents.azure.com",
        container_rid=engine.container(DATABASE, CART).rid,
    )


class SimulatedHost:
    """Starts, stops, pauses and crashes one host."""

    def __init__(
        self,
        *,
        name: str,
        loop: VirtualLoop,
        engine: Engine,
        connections: Connections,
        random: Random,
        trade: Trade,
        processor: str = PROCESSOR,
        start_from: StartFrom = BEGINNING,
    ) -> None:
        self.name, self.start_from = name, start_from
        self.rid = engine.container(DATABASE, CART).rid
        self._loop, self.processor = loop, processor
        self.passage = Passage(loop, random, name)
        clock = VirtualClock(loop, skew_seconds=random.choice([0, 0, 2, -2, 120, -120]))
        prefix = prefix_of(engine, processor)
        leases = SimulatedLeases(engine, self.passage, prefix=prefix, clock=clock)
        tells_old = random.choice([None, False])
        generation = trade.generation
        verdicts = VerdictStore(connections, generation=generation, returning_old=tells_old)
        reads = Reads(clock=clock, draw=random.random)
        reader = PatientReader(SimulatedPoints(engine, self.passage), reads)
        sweeper = Sweeper(
            store=GatedSweepStore(verdicts, self.passage),
            judge=Judge(reader=reader, projection=trade.projection),
        )
        rows = PostgresSink(connections, generation=generation, returning_old=tells_old, bulk=2)
        sink = GatedSink(rows, self.passage)
        self.host: Host[ProjectedPage] = Host(
            source=SimulatedSource(engine, self.passage, random),
            leases=leases,
            markers=leases,
            sink=sink,
            sweeper=sweeper,
            options=ProcessorOptions(
                processor_name=self.processor,
                # Now and then two hosts were given one name.
                instance_name=InstanceName(random.choice([name] * 5 + ["host"])),
                start_from=start_from,
                page_size=random.choice([1, 2, 5, 1000]),
                batch_documents=random.choice([3, 10, 5000]),
                poll_max_seconds=random.choice([0.5, 5.0]),
            ),
            clock=clock,
            draw=random,
        )
        self._task: asyncio.Task[None] | None = None

    def is_of(self, rid: str) -> bool:
        """Whether it copies that container under the usual name."""
        return self.processor == PROCESSOR and self.rid == rid

    def start(self) -> None:
        self._task = self._loop.create_task(self._run(), name=self.name)

    async def _run(self) -> None:
        with suppress(HostCrashed, SourceRecreated):  # a service would begin anew
            await self.host.run()

    async def stop(self) -> None:
        """Stop and drain, as on SIGTERM."""
        self.passage.paused_until = 0.0
        self.host.request_stop()
        await self._ended()

    async def crash(self) -> None:
        """End at once; nothing that still runs has an effect."""
        self.passage.crashed = True
        if self._task is not None:
            self._task.cancel()
        await self._ended()

    def pause(self, seconds: float) -> None:
        """Stand still, as under SIGSTOP, while the others go on."""
        self.passage.paused_until = self._loop.time() + seconds

    @property
    def failure(self) -> BaseException | None:
        """What ended the host although nobody asked for it."""
        if self._task is None or not self._task.done() or self._task.cancelled():
            return None
        return self._task.exception()

    async def _ended(self) -> None:
        if self._task is None:
            return
        try:
            await self._task
        except asyncio.CancelledError:
            if not self.passage.crashed:
                raise
        except BaseExceptionGroup as group:
            if not self.passage.crashed:
                raise
            _, others = group.split((HostCrashed, asyncio.CancelledError))
            if others is not None:
                raise others from None
