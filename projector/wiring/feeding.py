"""Feeds one generation in this process: by its first load, or by a host on leases and sessions of its own.

A host knows nothing of other generations: a promotion changes no batch, no position and no lease. What
concerns readers (health, metrics, the console) is told of the live one alone.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import structlog

from projector.core.balance import Limits
from projector.core.errors import ProjectorError, SinkUnavailable
from projector.core.names import InstanceName
from projector.core.start import StartFrom, StartKind
from projector.core.states import Removal
from projector.cosmos.lease_store import CosmosLeaseStore
from projector.operations.caught_up import opened_of
from projector.operations.caught_up import reached as reached_by
from projector.operations.fleet import watch_releases
from projector.operations.observers import Everybody, Mistakes, WhileLive
from projector.operations.plausibility import Plausibility
from projector.operations.strangers import Guard, Stamp
from projector.ports.feed import Clock, Observer, RangeReport
from projector.ports.filling import Filled
from projector.ports.generations import GenerationRecord, GenerationState
from projector.ports.traces import Tracer
from projector.postgres.connections import Connections
from projector.postgres.generations import mark_following
from projector.postgres.ranges import live_ranges
from projector.postgres.reports import last_release, opened_epochs
from projector.postgres.schema import identity
from projector.postgres.sink import PostgresSink
from projector.processor.host import Host
from projector.processor.options import ProcessorOptions
from projector.processor.progress import POLL_SECONDS, wait_until_caught_up
from projector.processor.progress import Reached as CaughtUp
from projector.projection.writes import ProjectedPage
from projector.reconcile.answers import Judge
from projector.reconcile.reads import PatientReader, Reads
from projector.reconcile.sweep import Sweeper
from projector.settings import Settings
from projector.telemetry.metrics import Metrics
from projector.wiring.copy import Copy
from projector.wiring.filling import filler
from projector.wiring.generations import Reached, connected
from projector.wiring.housekeeping import recording_of, upkeep
from projector.wiring.opening import Account, Target
from projector.wiring.servers import Servers

LAST_ANSWER_SECONDS = 10.0

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all generations of one process share.

    Attributes:
        opened: the account; each generation has leases of its own in it.
        plausibility: judges the first documents of the live one.
        once: a job: each host stops when its ranges are where the source is, or at the first mistake.
    """

    settings: Settings
    clock: Clock
    servers: Servers
    target: Target
    opened: Account
    plausibility: Plausibility
    metrics: Metrics
    tracer: Tracer
    observers: Sequence[Observer]
    mistakes: Mistakes
    once: bool


def start_of(record: GenerationRecord, settings: Settings) -> StartFrom:
    """Where ranges without a bookmark begin: one that was loaded must not leave out what it was loaded for."""
    if record.was_loaded and settings.start_from.kind is StartKind.NOW:
        return StartFrom(kind=StartKind.BEGINNING)
    return settings.start_from


def processor_options(settings: Settings, reached: Reached | None = None) -> ProcessorOptions:
    """The processor's part of the settings."""
    return ProcessorOptions(
        processor_name=settings.processor_name if reached is None else reached.processor_name,
        instance_name=InstanceName(settings.instance_name),
        start_from=settings.start_from if reached is None else start_of(reached.record, settings),
        page_size=settings.page_size,
        poll_min_seconds=settings.poll_min_seconds,
        poll_max_seconds=settings.poll_max_seconds,
        acquire_seconds=settings.lease_acquire_seconds,
        renew_seconds=settings.lease_renew_seconds,
        expiration_seconds=settings.lease_expiration_seconds,
        limits=Limits(min_leases=settings.min_leases, max_leases=settings.max_leases),
    )


class Feeder:
    """Runs once, for one generation in one state of its life."""

    def __init__(self, record: GenerationRecord, around: Surroundings) -> None:
        """Describe it; nothing happens before `run`. Once it is `ready`, its host begins."""
        settings = around.settings
        self.record = record
        self._around = around
        self._observer = WhileLive(around.observers, live=record.state is GenerationState.LIVE)
        self.guard = Guard(
            me=InstanceName(settings.instance_name),
            clock=around.clock,
            expiration_seconds=settings.lease_expiration_seconds,
        )
        self.ready = asyncio.Event()
        self.host: Host[ProjectedPage] | None = None
        self.leases: CosmosLeaseStore | None = None
        self.reached: Reached | None = None

    @property
    def filling(self) -> bool:
        """Whether it is loaded for the first time."""
        return self.record.state is GenerationState.FILLING

    @property
    def live(self) -> bool:
        """Whether the views read it."""
        return self.record.state is GenerationState.LIVE

    async def now(self, record: GenerationRecord) -> None:
        """The registry says this of it by now."""
        self.record = record
        await self._observer.now(live=self.live)

    def reports(self) -> Sequence[RangeReport]:
        """The condition of each range of this host as of now."""
        return () if self.host is None else self.host.reports()

    def copy(self, reached: Reached) -> Copy:
        """The container and this generation of its copy."""
        around = self._around
        return Copy(
            settings=around.settings,
            clock=around.clock,
            opened=around.opened.of_processor(reached.processor_name),
            connections=reached.connections,
            actor=around.settings.instance_name,
            on_removed=partial(around.metrics.rows_removed, Removal.REPAIR),
            generation=reached.generation,
        )

    async def run(self) -> None:
        """Feed it until stopped; a first load ends by itself.

        Raises: what the host of the generation raises at its start; SourceRecreated.
        """
        around = self._around
        async with connected(around.settings, around.target, self.record) as self.reached:
            opened = around.opened.of_processor(self.reached.processor_name)
            if self.filling:
                await self._fill(self.reached, opened)
            else:
                await self._follow(self.reached, opened)

    async def _fill(self, reached: Reached, opened: Account) -> None:
        async def done(filled: Filled) -> None:
            async with reached.connections.transaction() as session:
                await mark_following(
                    session,
                    reached.record.id,
                    documents=filled.documents,
                    request_units=filled.request_units,
                )

        work = filler(
            self._around.settings,
            opened,
            reached.connections,
            generation=reached.generation,
            source=reached.record.source,
            processor_name=reached.processor_name,
            clock=self._around.clock,
            done=done,
        )
        await work.run()

    async def _follow(self, reached: Reached, opened: Account) -> None:
        named = partial(identity, reached.connections)
        here = await self._around.servers.waiting_for_target(named)
        stamp = Stamp(me=self.guard.me, target=here)
        self.leases = leases = opened.leases.stamping(stamp.on)
        opened = replace(opened, leases=leases)
        await self._around.servers.waiting_for_source(lambda: self.guard.meet(leases, stamp))
        self.host = host = self._make_host(reached, opened)
        works = self._beside(host, reached, opened)
        works["guard"] = self.guard.run(stamp, listed=lambda: leases.listed, identity=named)
        self.ready.set()
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(work, name=f"host:{name}") for name, work in works.items()
                ]
                await host.run()
                for task in tasks:
                    task.cancel()
        finally:
            self.host = None
        if self._around.once and self.live:
            with suppress(SinkUnavailable):  # where only such jobs run, nobody else does it
                await recording_of(self.copy(reached)).keep()

    def _beside(
        self, host: Host[ProjectedPage], reached: Reached, opened: Account
    ) -> dict[str, Coroutine[Any, Any, None]]:
        around, connections = self._around, reached.connections
        works = {
            "releases": watch_releases(
                partial(last_release, connections, beside=self.guard.me),
                clock=around.clock,
                expect_leases=host.expect_leases,
            ),
        }
        if around.once:
            works["caught-up"] = self._stop_when_caught_up(host, opened, connections)
            works["mistakes"] = self._stop_by_mistake(host)
        else:
            works["upkeep"] = upkeep(self.copy(reached), around.settings).run()
        return works

    def _make_host(self, reached: Reached, opened: Account) -> Host[ProjectedPage]:
        around, projection = self._around, reached.projection
        draw = random.Random()  # noqa: S311 - spreads hosts, hides nothing
        reader = PatientReader(opened.points, Reads(clock=around.clock, draw=draw.random))
        sink = PostgresSink(
            reached.connections,
            generation=reached.generation,
            selection=projection.selection,
            admission=around.plausibility.admitted if self.live else nullcontext,
        )
        return Host(
            source=opened.source,
            leases=opened.leases,
            markers=opened.markers,
            sink=sink,
            sweeper=Sweeper(
                store=sink.verdicts,
                judge=Judge(reader=reader, projection=projection),
                on_removed=self._removed,
            ),
            options=processor_options(around.settings, reached),
            clock=around.clock,
            draw=draw,
            allowance=opened.allowance,
            tracer=around.tracer,
            observer=Everybody(observers=[self._observer, around.mistakes]),
        )

    def _removed(self, rows: int) -> None:
        if self.live:
            self._around.metrics.rows_removed(Removal.SWEEP, rows)

    async def _stop_when_caught_up(
        self, host: Host[ProjectedPage], opened: Account, connections: Connections
    ) -> None:
        """Asks the host to stop once every range of the container is where the source is."""
        around = self._around

        async def committed() -> Sequence[CaughtUp]:
            stored = await live_ranges(connections, opened.container_rid)
            others = await opened_epochs(connections)
            return reached_by(stored, opened_of(host.reports()) | others)

        try:
            await host.wait_until_started()
            await wait_until_caught_up(
                source=opened.source,
                leases=opened.leases,
                clock=around.clock,
                start_from=start_of(self.record, around.settings),
                committed=committed,
            )
            await self._wait_until_told_complete(host)
        except ProjectorError as error:
            around.mistakes.note(error)
        else:
            host.request_stop()

    async def _wait_until_told_complete(self, host: Host[ProjectedPage]) -> None:
        """Until each range has had an answer without a change, too: history begins by their last reports.

        A range that changes all the time may get none for long, and is caught up all the same.
        """
        clock = self._around.clock
        until = clock.monotonic() + LAST_ANSWER_SECONDS
        while clock.monotonic() < until and any(
            report.caught_up_at is None for report in host.reports()
        ):
            await clock.sleep(POLL_SECONDS)

    async def _stop_by_mistake(self, host: Host[ProjectedPage]) -> None:
        """A job does not wait for a person; its ranges end in good order all the same."""
        await self._around.mistakes.found()
        host.request_stop()
