"""One host of the projector from start to end: database, schema, account, sink, processor.

The order of the start: target, web, schema, source, host; the order of the end is its reverse. An
outage at the start is waited out and said, also by the health endpoints; a mistake of configuration
ends the start with one line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import structlog

from projector import __version__
from projector.core.errors import SourceRecreated
from projector.core.start import check_not_ahead
from projector.operations.fleet import FleetWatch
from projector.operations.observers import Mistakes, Tally, tell_progress
from projector.operations.samples import keep_samples
from projector.ports.feed import Clock, Observer, RangeReport, Spent
from projector.ports.traces import UNTRACED, Tracer
from projector.postgres.blockers import blockers
from projector.postgres.connections import Connections
from projector.postgres.copy_facts import copy_facts
from projector.postgres.samples import add_sample
from projector.processor.clock import SystemClock
from projector.processor.estimator import Estimator
from projector.settings import Settings
from projector.telemetry.logs import Event
from projector.telemetry.metrics import Metrics
from projector.wiring.feeders import Feeders
from projector.wiring.feeding import Feeder, Surroundings, processor_options
from projector.wiring.housekeeping import housekeeping
from projector.wiring.opening import Target, account, limits, target
from projector.wiring.presence import presence
from projector.wiring.servers import Servers
from projector.wiring.spending import Spending, spending
from projector.wiring.start import Start
from projector.wiring.systemd import STOPPING, Systemd
from projector.wiring.tracing import tracing
from projector.wiring.web import serving

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


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
        self._feeders: Feeders | None = None
        self._connections: Connections | None = None
        self._running: asyncio.Task[Any] | None = None
        self._stop_requested = False
        self._fleet = FleetWatch(
            limits=limits(settings),
            clock=self._clock,
            own=self.reports,
            conflict=self.conflict,
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
        """The condition of each range of this host in the live generation, as of now."""
        live = None if self._feeders is None else self._feeders.live
        return () if live is None else live.reports()

    def conflict(self) -> str | None:
        """Why no range of the live generation can be believed, if so."""
        live = None if self._feeders is None else self._feeders.live
        return None if live is None else live.guard.conflict

    def request_stop(self) -> None:
        """Asks for the end: a running host drains, a start that still waits is given up."""
        self._stop_requested = True
        self._systemd.tell(STOPPING)
        if self._feeders is not None:
            self._feeders.request_stop()
            self._hang_up_in(processor_options(self._settings).drain_seconds)
        elif self._running is not None:
            self._hang_up_in(0.0)
            self._running.cancel()

    def _hang_up_in(self, seconds: float) -> None:
        """A PostgreSQL that is silent when the time of a stop is over is not waited for."""
        held = [] if self._connections is None else [self._connections]
        if self._feeders is not None:
            held += self._feeders.connections()
        for connections in held:
            asyncio.get_running_loop().call_later(seconds, connections.hang_up)

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
            if not self._stop_requested or self._feeders is not None or self._running is None:
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
        """Feeds from the container as it is now; True when the target follows another one by now."""
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
                await self._feed(
                    Surroundings(
                        settings=self._settings,
                        clock=self._clock,
                        servers=self._servers,
                        target=reached,
                        opened=opened,
                        plausibility=plausibility,
                        metrics=self.metrics,
                        tracer=self._tracer,
                        observers=[self.tally, self.metrics, *self._more],
                        mistakes=self._mistakes,
                        once=until_caught_up,
                    )
                )
                plausibility.check()
            except* SourceRecreated as group:
                if until_caught_up:
                    raise
                log.warning(Event.SOURCE_RECREATED, error=str(group.exceptions[0]))
                outdated = True
            finally:
                self._feeders = None
        return outdated and not self._stop_requested

    async def _feed(self, around: Surroundings) -> None:
        if self._stop_requested:
            return
        self._feeders = feeders = Feeders(around, partial(self._desk, around))
        await feeders.run()
        if around.once and self._mistakes.first is not None:
            raise self._mistakes.first

    async def _desk(self, around: Surroundings, feeder: Feeder) -> None:
        """What goes on beside the live generation's host: what people see of it, and its upkeep."""
        await feeder.ready.wait()
        host, reached, leases = feeder.host, feeder.reached, feeder.leases
        if host is None or reached is None or leases is None:  # it has ended meanwhile
            return
        connections = reached.connections
        estimator = Estimator(source=around.opened.source, leases=leases, clock=self._clock)
        works: dict[str, Coroutine[Any, Any, None]] = {
            "progress": tell_progress(tally=self.tally, reports=self.reports, clock=self._clock),
            "fleet": self._fleet.run(
                partial(copy_facts, connections), estimator, partial(blockers, connections)
            ),
            "systemd": self._systemd.run(),
            "samples": keep_samples(
                partial(add_sample, connections),
                delivered=lambda: self.tally.delivered,
                diagnosis=self._fleet.diagnosis,
                clock=self._clock,
            ),
            "plausibility": around.plausibility.stop_when_refused(host.request_stop),
        }
        if not around.once:
            works["housekeeping"] = housekeeping(feeder.copy(reached), self._settings).run()
        async with asyncio.TaskGroup() as group:
            for name, work in works.items():
                group.create_task(work, name=f"host:{name}")

    def _web(self, reached: Target, *, needed: bool) -> AbstractAsyncContextManager[None]:
        """Console, health and metrics; a job beside a host of the same machine does without."""
        return serving(
            self._settings,
            reached,
            fleet=self._fleet,
            metrics=self.metrics,
            clock=self._clock,
            needed=needed,
        )
