"""One simulated host: the real feeders, processor and PostgreSQL sink of every generation, behind gates."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from random import Random
from typing import cast

from typing_extensions import override

from projector.core.errors import ProjectorError, SinkUnavailable, SourceRecreated
from projector.core.names import LeaseToken
from projector.core.start import BEGINNING, Position, StartFrom
from projector.operations.observers import Mistakes
from projector.operations.plausibility import Plausibility
from projector.ports.feed import Applied, Beginning, Grant, Page, RangeClaim, RangeReport, Sink
from projector.ports.generations import GenerationRecord
from projector.ports.rows import DocumentKey, Mended, ReadMark, SweepStore, Verdict
from projector.ports.traces import UNTRACED
from projector.postgres.connections import Connections
from projector.postgres.generations import Registered
from projector.postgres.sink import PostgresSink
from projector.postgres.source import copied_source
from projector.postgres.sweep import VerdictStore
from projector.processor.host import Host
from projector.projection.writes import ProjectedPage
from projector.reconcile.answers import Judge
from projector.reconcile.reads import PatientReader, Reads
from projector.reconcile.sweep import Sweeper
from projector.telemetry.metrics import Metrics
from projector.wiring.feeders import Feeders
from projector.wiring.feeding import Feeder, Surroundings, processor_options
from projector.wiring.generations import Reached
from projector.wiring.opening import Account, Target
from projector.wiring.servers import Servers
from tests.simulation.documents import SimulatedPoints
from tests.simulation.loop import VirtualClock
from tests.simulation.ports import HostCrashed, Passage, SimulatedLeases, SimulatedSource
from tests.simulation.world import IDENTITY, PROCESSOR, GatedConnections, World

SILENT_SECONDS = 30
HELD_SECONDS = 0.3
METRICS = Metrics()


def _sink_failure() -> ProjectorError:
    return SinkUnavailable("the simulated network lost PostgreSQL")


class GatedSink:
    """The PostgreSQL sink, each call behind the host's passage."""

    def __init__(
        self,
        sink: Sink[ProjectedPage],
        passage: Passage,
        *,
        slow: Random,
        is_held: Callable[[], bool],
    ) -> None:
        self._sink = sink
        self._passage = passage
        self._is_held = is_held
        self._slow = slow
        self._slow_rate = slow.choice([0.0, 0.0, 0.6])

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
        if self._slow.random() < self._slow_rate:  # one generation falls behind the other
            await asyncio.sleep(self._slow.choice([0.3, 3.0]))
        while self._is_held():  # noqa: ASYNC110 - whoever holds it may crash
            await asyncio.sleep(HELD_SECONDS)
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


class SimulatedHost:
    """Starts, stops, pauses and crashes one host."""

    def __init__(
        self,
        *,
        name: str,
        world: World,
        connections: Connections,
        processor: str = PROCESSOR,
        start_from: StartFrom = BEGINNING,
    ) -> None:
        self.world, self.name, self.start_from = world, name, start_from
        self.processor = processor
        random = self.random = world.random
        self._loop = world.loop
        self.passage = Passage(world.loop, random, name)
        self.passage.slow_rate = random.choice([0.0, 0.0, 0.0, 0.1])
        self.clock = VirtualClock(world.loop, skew_seconds=random.choice([0, 0, 2, -2, 120, -120]))
        self.tells_old = random.choice([None, False])
        account = world.account(self.passage, self.clock, processor)
        self.rid = account.container_rid
        # Now and then two hosts were given one name.
        self.instance = random.choice([name] * 5 + ["host"])
        self.batch_documents = random.choice([3, 10, 5000])
        settings = world.settings(
            processor_name=processor,
            instance_name=self.instance,
            start_from=start_from,
            page_size=random.choice([1, 2, 5, 1000]),
            poll_max_seconds=random.choice([0.5, 5.0]),
            rebuild_page_size=random.choice([1, 3, 5000]),
        )
        gated = GatedConnections(connections, self.passage)
        self._feeders = SimulatedFeeders(
            Surroundings(
                settings=settings,
                clock=self.clock,
                servers=Servers(clock=self.clock, draw=random.random),
                target=Target(connections=gated, url=world.url),
                opened=account,
                plausibility=Plausibility(source=IDENTITY.name, limit=1.0, good=0, rejected=0),
                metrics=METRICS,
                tracer=UNTRACED,
                observers=[],
                mistakes=Mistakes(),
                once=False,
            ),
            host=self,
        )
        self._task: asyncio.Task[None] | None = None
        self.begins_anew = False

    def is_of(self, rid: str) -> bool:
        """Whether it copies that container under the usual name."""
        return self.processor == PROCESSOR and self.rid == rid

    def start(self) -> None:
        self._task = self._loop.create_task(self._run(), name=self.name)

    async def _run(self) -> None:
        with suppress(HostCrashed):
            try:
                await self._feeders.run()
            except SourceRecreated:
                self.begins_anew = True  # as a service would: whoever waits for it makes a new one

    def reports(self, generation: int | None = None) -> Sequence[RangeReport]:
        """The condition of each range of that generation, or of all."""
        return [
            report
            for feeder in self._feeders.all()
            if generation in {None, feeder.record.id}
            for report in feeder.reports()
        ]

    async def wait_until_started(self) -> None:
        """Wait until the host of the live generation balances, or all has ended."""
        while self._task is not None and not self._task.done():
            live = self._feeders.live
            if live is not None and live.host is not None:
                return await live.host.wait_until_started()
            await asyncio.sleep(0.1)
        return None

    async def stop(self) -> None:
        """Stop and drain, as on SIGTERM."""
        self.passage.paused_until = 0.0
        self._feeders.request_stop()
        await self._ended()

    async def crash(self) -> None:
        """End at once; nothing that still runs has an effect."""
        self.passage.crashed = True
        if self._task is not None:
            self._task.cancel()
        await self._ended()
        self.world.silence(self.instance)

    def pause(self, seconds: float) -> None:
        """Stand still, as under SIGSTOP, while the others go on."""
        self.passage.paused_until = self._loop.time() + seconds
        if seconds >= SILENT_SECONDS:
            self.world.silence(self.instance)

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


class SimulatedFeeders(Feeders):
    """The feeders of one host: it hears of changes at once, late, or never and has to look."""

    def __init__(self, around: Surroundings, *, host: SimulatedHost) -> None:
        super().__init__(around, _desk, make=partial(SimulatedFeeder, host=host))
        self._host = host

    def all(self) -> Iterator[Feeder]:
        """Those that run."""
        for feeder, _ in self._running.values():
            yield feeder

    @override
    async def _watch(self, group: asyncio.TaskGroup, seen: Sequence[Registered]) -> None:
        while True:
            await self._around.clock.sleep(self._host.random.choice([0.01, 1.0, 15.0]))
            with suppress(ProjectorError):
                await self._fit(group, await self._fed())


async def _desk(_: Feeder) -> None:
    """Nobody looks at its console."""


class SimulatedFeeder(Feeder):
    """Feeds one generation through the connections that all share."""

    def __init__(
        self, record: GenerationRecord, around: Surroundings, *, host: SimulatedHost
    ) -> None:
        super().__init__(record, around)
        self._of = host

    @override
    async def run(self) -> None:
        behind = await self._of.world.pool(self.record.control)
        connections = GatedConnections(behind, self._of.passage)
        settings = self._around.settings
        self.reached = reached = Reached(
            record=self.record, connections=connections, settings=settings
        )
        opened = self._around.opened.of_processor(reached.processor_name)
        if self.filling:
            await self._refuse_others(connections)
            await self._fill(reached, opened)
        else:
            await self._follow(reached, opened)

    async def _refuse_others(self, connections: Connections) -> None:
        """As the start of a service does."""
        async with connections.session() as session:
            copied = await copied_source(session)
        if copied is not None and copied.rid != self._of.rid:
            raise SourceRecreated(expected_rid=copied.rid, found_rid=self._of.rid)

    @override
    async def _follow(self, reached: Reached, opened: Account) -> None:
        self.host = self._make_host(reached, opened)
        try:
            await self.host.run()
        finally:
            self.host = None

    @override
    def _make_host(self, reached: Reached, opened: Account) -> Host[ProjectedPage]:
        of, random, clock = self._of, self._of.random, self._of.clock
        engine, generation = of.world.engine, reached.generation
        simulated = cast("SimulatedLeases", opened.leases)
        behind = cast("GatedConnections", reached.connections).behind
        verdicts = VerdictStore(behind, generation=generation, returning_old=of.tells_old)
        reads = Reads(clock=clock, draw=random.random)
        reader = PatientReader(SimulatedPoints(engine, of.passage), reads)
        sweeper = Sweeper(
            store=GatedSweepStore(verdicts, of.passage),
            judge=Judge(reader=reader, projection=reached.projection),
        )
        rows = PostgresSink(behind, generation=generation, returning_old=of.tells_old, bulk=2)
        options = processor_options(self._around.settings, reached)
        return Host(
            source=SimulatedSource(engine, of.passage, random),
            leases=simulated,
            markers=simulated,
            sink=GatedSink(
                rows,
                of.passage,
                slow=random,
                is_held=lambda: self.record.id in of.world.held,
            ),
            sweeper=sweeper,
            options=replace(options, batch_documents=of.batch_documents),
            clock=clock,
            draw=random,
        )
