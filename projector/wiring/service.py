"""One host of the projector from start to end: database, schema, account, sink, processor.

The order of the start: target, web, schema, source, host; the order of the end is its reverse. An
outage at the start is waited out and said, also by the health endpoints; a mistake of configuration
ends the start with one line.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import structlog

from projector import __version__
from projector.core.balance import Limits
from projector.core.errors import ConfigurationError, ProjectorError, SourceRecreated
from projector.core.names import InstanceName
from projector.core.start import check_not_ahead
from projector.core.states import Removal
from projector.operations.caught_up import opened_of, reached
from projector.operations.fleet import FleetWatch, watch_releases
from projector.operations.observers import Everybody, Mistakes, Tally, tell_progress
from projector.operations.plausibility import Plausibility
from projector.operations.samples import keep_samples
from projector.operations.strangers import Guard, StampedLeases, meet
from projector.ports.feed import Clock, LeaseStore, Observer, RangeReport, Spent
from projector.ports.traces import UNTRACED, Tracer
from projector.postgres.beside import beside
from projector.postgres.blockers import blockers
from projector.postgres.connections import Connections
from projector.postgres.copy_facts import copy_facts
from projector.postgres.ranges import live_ranges
from projector.postgres.reports import last_release, opened_epochs
from projector.postgres.samples import add_sample
from projector.postgres.schema import identity
from projector.postgres.sink import PostgresSink
from projector.processor.clock import SystemClock
from projector.processor.estimator import Estimator
from projector.processor.host import Host
from projector.processor.options import ProcessorOptions
from projector.processor.progress import Reached, wait_until_caught_up
from projector.projection.writes import ProjectedPage
from projector.reconcile.answers import Judge
from projector.reconcile.reads import PatientReader, Reads
from projector.reconcile.sweep import Sweeper
from projector.settings import Settings
from projector.telemetry.logs import Event
from projector.telemetry.metrics import Metrics
from projector.web import server
from projector.wiring.console import console, routes, tell_access
from projector.wiring.copy import Copy
from projector.wiring.housekeeping import housekeeping
from projector.wiring.opening import Account, Target, account, limits, target
from projector.wiring.presence import presence
from projector.wiring.servers import Servers
from projector.wiring.spending import Spending, spending
from projector.wiring.start import Start
from projector.wiring.systemd import STOPPING, Systemd
from projector.wiring.tracing import tracing

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def processor_options(settings: Settings) -> ProcessorOptions:
    """The processor's part of the settings."""
    return ProcessorOptions(
        processor_name=settings.processor_name,
        instance_name=InstanceName(settings.instance_name),
        start_from=settings.start_from,
        page_size=settings.page_size,
        poll_min_seconds=settings.poll_min_seconds,
        poll_max_seconds=settings.poll_max_seconds,
        acquire_seconds=settings.lease_acquire_seconds,
        renew_seconds=settings.lease_renew_seconds,
        expiration_seconds=settings.lease_expiration_seconds,
        limits=Limits(min_leases=settings.min_leases, max_leases=settings.max_leases),
    )


class Service:
    """Runs once."""

    def __init__(
        self, settings: Settings, *, clock: Clock | None = None, observer: Observer | None = None
    ) -> None:
        """Describe the run; nothing happens before `run`.

        Args:
            settings: What a person has chosen.
            clock: Real time unless a test brings its own.
            observer: Told everything beside our own metrics.
        """
        self._settings = settings
        self._clock = clock or SystemClock()
        self._servers = Servers(clock=self._clock)
        self._more = [] if observer is None else [observer]
        self._host: Host[ProjectedPage] | None = None
        self._connections: Connections | None = None
        self._running: asyncio.Task[Any] | None = None
        self._stop_requested = False
        self._guard = Guard(
            me=InstanceName(settings.instance_name),
            clock=self._clock,
            expiration_seconds=settings.lease_expiration_seconds,
        )
        self._fleet = FleetWatch(
            limits=limits(settings),
            clock=self._clock,
            own=self.reports,
            conflict=lambda: self._guard.conflict,
        )
        self._systemd = Systemd(
            reports=self.reports, clock=self._clock, poll_seconds=settings.poll_max_seconds
        )
        self._mistakes = Mistakes()
        self._spending = Spending()
        self._tracer: Tracer = UNTRACED
        self.tally = Tally()
        self.metrics = Metrics(self._fleet.figures, reports=self.reports, version=__version__)

    def reports(self) -> Sequence[RangeReport]:
        """The condition of each range of this host as of now."""
        return () if self._host is None else self._host.reports()

    def request_stop(self) -> None:
        """Asks for the end: a running host drains, a start that still waits is given up."""
        self._stop_requested = True
        self._systemd.tell(STOPPING)
        if self._host is not None:
            self._host.request_stop()
            self._hang_up_in(processor_options(self._settings).drain_seconds)
        elif self._running is not None:
            self._hang_up_in(0.0)
            self._running.cancel()

    def _hang_up_in(self, seconds: float) -> None:
        """A PostgreSQL that is silent when the time of a stop is over is not waited for."""
        if self._connections is not None:
            asyncio.get_running_loop().call_later(seconds, self._connections.hang_up)

    async def run(self, *, migrate: bool = True, until_caught_up: bool = False) -> Tally:
        """Serves until stopped; with `until_caught_up` until everything there is has been read.

        Raises:
            ProjectorError: Only a person can mend it; the message says how.
        """
        check_not_ahead(self._settings.start_from, now=self._clock.now())
        self._running = asyncio.current_task()
        try:
            await self._run(migrate=migrate, until_caught_up=until_caught_up)
        except asyncio.CancelledError:
            if not self._stop_requested or self._host is not None or self._running is None:
                raise
            self._running.uncancel()
        return self.tally

    async def _run(self, *, migrate: bool, until_caught_up: bool) -> None:
        async with (
            tracing(self._settings, self.metrics, clock=self._clock) as self._tracer,
            target(self._settings, create=True) as reached,
            self._web(reached, needed=not until_caught_up),
        ):
            self._connections = reached.connections
            start = Start(settings=self._settings, clock=self._clock, servers=self._servers)
            await start.target(reached, migrate=migrate)
            async with self._present(reached.connections), self._budget(reached) as self._spending:
                while await self._follow(reached, start, until_caught_up=until_caught_up):
                    log.info(Event.SOURCE_FOLLOWED)

    def _present(self, connections: Connections) -> AbstractAsyncContextManager[None]:
        return presence(
            connections,
            self._settings.instance_name,
            version=__version__,
            documents=lambda: self.tally.delivered,
        )

    def _budget(self, reached: Target) -> AbstractAsyncContextManager[Spending]:
        return spending(
            self._settings,
            reached.connections,
            clock=self._clock,
            hosts=self._fleet.hosts,
            on_waited=self.metrics.waited_for_units,
        )

    def _meter(self, spent: Spent) -> None:
        self.metrics.spent(spent)
        self._spending.meter(spent)

    async def _follow(self, reached: Target, start: Start, *, until_caught_up: bool) -> bool:
        """Runs a host on the container as it is now; True when the target follows another one by now."""
        async with account(
            self._settings,
            clock=self._clock,
            servers=self._servers,
            meter=self._meter,
            allowance=self._spending.allowance,
        ) as opened:
            outdated = False
            try:
                plausibility = await start.source(opened, reached)
                leases = await self._leases(opened, reached.connections)
                sink = PostgresSink(
                    reached.connections,
                    selection=self._settings.projection.selection,
                    admission=plausibility.admitted,
                )
                host = self._make_host(opened, leases, sink)
                await self._serve(
                    host,
                    opened,
                    leases,
                    reached.connections,
                    plausibility,
                    until_caught_up=until_caught_up,
                )
                plausibility.check()
            except* SourceRecreated as group:
                if until_caught_up:
                    raise
                log.warning(Event.SOURCE_RECREATED, error=str(group.exceptions[0]))
                outdated = True
            finally:
                self._host = None
        return outdated and not self._stop_requested

    async def _serve(
        self,
        host: Host[ProjectedPage],
        opened: Account,
        leases: StampedLeases,
        connections: Connections,
        plausibility: Plausibility,
        *,
        until_caught_up: bool,
    ) -> None:
        if self._stop_requested:
            return
        self._host = host
        async with asyncio.TaskGroup() as group:
            works = self._beside(host, opened, leases, connections)
            works["plausibility"] = plausibility.stop_when_refused(host.request_stop)
            if until_caught_up:
                works["caught-up"] = self._stop_when_caught_up(host, opened, connections)
                works["mistakes"] = self._stop_by_mistake(host)
            else:
                copy = self._copy(opened, connections)
                works["housekeeping"] = housekeeping(copy, self._settings).run()
            beside = [group.create_task(work, name=f"host:{name}") for name, work in works.items()]
            await host.run()
            for task in beside:
                task.cancel()
        if until_caught_up and self._mistakes.first is not None:
            raise self._mistakes.first

    async def _stop_when_caught_up(
        self, host: Host[ProjectedPage], opened: Account, connections: Connections
    ) -> None:
        """Asks the host to stop once every range of the container is where the source is."""

        async def committed() -> Sequence[Reached]:
            stored = await live_ranges(connections, opened.container_rid)
            others = await opened_epochs(connections)
            return reached(stored, opened_of(host.reports()) | others)

        try:
            await host.wait_until_started()
            await wait_until_caught_up(
                source=opened.source,
                leases=opened.leases,
                clock=self._clock,
                start_from=self._settings.start_from,
                committed=committed,
            )
        except ProjectorError as error:
            self._mistakes.note(error)
        else:
            host.request_stop()

    async def _stop_by_mistake(self, host: Host[ProjectedPage]) -> None:
        """A job does not wait for a person; its ranges end in good order all the same."""
        await self._mistakes.found()
        host.request_stop()

    def _beside(
        self,
        host: Host[ProjectedPage],
        opened: Account,
        leases: StampedLeases,
        connections: Connections,
    ) -> dict[str, Coroutine[Any, Any, None]]:
        """What goes on beside a host as long as it runs."""
        estimator = Estimator(source=opened.source, leases=opened.leases, clock=self._clock)
        return {
            "releases": watch_releases(
                partial(last_release, connections, beside=self._guard.me),
                clock=self._clock,
                expect_leases=host.expect_leases,
            ),
            "progress": tell_progress(tally=self.tally, reports=host.reports, clock=self._clock),
            "fleet": self._fleet.run(
                partial(copy_facts, connections), estimator, partial(blockers, connections)
            ),
            "systemd": self._systemd.run(),
            "guard": self._guard.run(leases, partial(identity, connections)),
            "samples": keep_samples(
                partial(add_sample, connections),
                delivered=lambda: self.tally.delivered,
                diagnosis=self._fleet.diagnosis,
                clock=self._clock,
            ),
        }

    async def _leases(self, opened: Account, connections: Connections) -> StampedLeases:
        """The leases, once it is sure that no other database's hosts live on them."""
        here = await self._servers.waiting_for_target(partial(identity, connections))
        leases = StampedLeases(opened.leases, me=self._guard.me, target=here)
        await self._servers.waiting_for_source(
            lambda: meet(
                leases,
                me=self._guard.me,
                clock=self._clock,
                expiration=self._settings.lease_expiration_seconds,
            )
        )
        return leases

    def _copy(self, opened: Account, connections: Connections) -> Copy:
        return Copy(
            settings=self._settings,
            clock=self._clock,
            opened=opened,
            connections=connections,
            actor=self._settings.instance_name,
            on_removed=partial(self.metrics.rows_removed, Removal.REPAIR),
        )

    def _make_host(
        self, opened: Account, leases: LeaseStore, sink: PostgresSink
    ) -> Host[ProjectedPage]:
        draw = random.Random()  # noqa: S311 - spreads hosts, hides nothing
        reader = PatientReader(opened.points, Reads(clock=self._clock, draw=draw.random))
        judge = Judge(reader=reader, projection=self._settings.projection)
        return Host(
            source=opened.source,
            leases=leases,
            markers=opened.markers,
            sink=sink,
            sweeper=Sweeper(
                store=sink.verdicts,
                judge=judge,
                on_removed=partial(self.metrics.rows_removed, Removal.SWEEP),
            ),
            options=processor_options(self._settings),
            clock=self._clock,
            draw=draw,
            allowance=self._spending.allowance,
            tracer=self._tracer,
            observer=Everybody(observers=[self.tally, self.metrics, self._mistakes, *self._more]),
        )

    @asynccontextmanager
    async def _web(self, reached: Target, *, needed: bool) -> AsyncIterator[None]:
        """Console, health and metrics; a job beside a host of the same machine does without."""
        view = console(self._settings, self._fleet, reached.connections, clock=self._clock)
        serving = server.serve(
            host=self._settings.web_host,
            port=self._settings.web_port,
            metrics=self.metrics,
            health=self._fleet.diagnosis,
            console=routes(self._settings, view),
        )
        async with AsyncExitStack() as stack:
            if self._settings.web_port != 0:
                try:
                    port = await stack.enter_async_context(serving)
                except ConfigurationError as error:
                    if needed:
                        raise
                    log.warning(Event.WEB_SKIPPED, error=str(error))
                else:
                    log.info(Event.WEB_STARTED, host=self._settings.web_host, port=port)
                    tell_access(self._settings)
                    await stack.enter_async_context(beside(view.run(), name="web:console"))
            yield
