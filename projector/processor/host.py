"""One host of a change feed processor: bootstraps, balances, reads, and stops in good order.

A stop drains: no more leases are taken, every range finishes its batch, bookmarks it and
releases its lease, all within one deadline. Whatever still hangs when it has passed is cut off
with the host. Cancelling `run` is the abort: leases are left to expire, and the fence in the target
keeps what was in flight from harm.
Source: .NET v3 change feed processor, `ChangeFeedProcessorCore` and partition manager.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Generic, TypeVar

import structlog

from projector.core.errors import ProjectorError, SourceRecreated
from projector.core.lease import START_FROM_PROPERTY, Lease
from projector.core.names import Continuation, Epoch, Holder, LeaseToken
from projector.ports.budget import UNLIMITED, Allowance
from projector.ports.feed import (
    BootstrapMarkers,
    ChangeSource,
    Clock,
    LeaseStore,
    Observer,
    RangeReport,
    Sink,
    Sweeper,
)
from projector.ports.traces import UNTRACED, Tracer
from projector.processor.balancer import Alarm, Balancer
from projector.processor.bootstrap import Bootstrapper
from projector.processor.controller import ABORT_SECONDS, Controller
from projector.processor.events import Event
from projector.processor.follower import until_followed
from projector.processor.neighbours import Neighbours, SharedSource
from projector.processor.notifications import Notifications, SilentObserver
from projector.processor.options import ProcessorOptions
from projector.processor.reporter import Reporter
from projector.processor.waiting import Deadline, Failed, Patience, Stopped

LAST_WORDS_SECONDS = 2.0
"""What the last report of a stop gets, after the ranges have ended."""

P = TypeVar("P")

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Host(Generic[P]):
    """Runs once; make a new one to start again."""

    def __init__(
        self,
        *,
        source: ChangeSource,
        leases: LeaseStore,
        markers: BootstrapMarkers,
        sink: Sink[P],
        sweeper: Sweeper,
        options: ProcessorOptions,
        clock: Clock,
        draw: random.Random,
        observer: Observer | None = None,
        allowance: Allowance = UNLIMITED,
        tracer: Tracer = UNTRACED,
    ) -> None:
        self._source = SharedSource(source, clock)
        self._allowance = allowance
        self._leases = leases
        self._markers = markers
        self._sink = sink
        self._sweeper = sweeper
        self._options = options
        self._clock = clock
        self._draw = draw
        self._me = Holder(name=options.instance_name, incarnation=f"{draw.getrandbits(64):016x}")
        self._observer = Notifications(observer or SilentObserver(), tracer)
        self._stopping = asyncio.Event()
        self._started = asyncio.Event()
        self._ended = False
        self._controller: Controller[P] | None = None
        self._alarm: Alarm | None = None
        self._outdated: SourceRecreated | None = None
        self._limit: asyncio.Timeout | None = None
        self._stop_seconds = ABORT_SECONDS

    async def run(self) -> None:
        """Serve until stopped.

        Raises: at the start, errors that only a person can mend (a missing container, a wrong
            key); later SourceRecreated alone, when the target was told to follow a container
            that this host does not read: make a new host for it.
        """
        log.info(
            Event.HOST_STARTED,
            processor=self._options.processor_name,
            instance=self._options.instance_name,
        )
        try:
            at_once = ABORT_SECONDS if self._stopping.is_set() else None
            async with asyncio.timeout(at_once) as self._limit:
                await self._live()
        except Stopped:
            pass
        except TimeoutError:
            log.warning(Event.STOP_CUT_SHORT, instance=self._options.instance_name)
        finally:
            self._limit = None
            self._started.set()
            self._ended = True
            log.info(Event.HOST_STOPPED, instance=self._options.instance_name)
        if self._outdated is not None:
            raise self._outdated

    def request_stop(self) -> None:
        """Ask for a stop and return at once; safe in a signal handler of the loop."""
        if not self._stopping.is_set() and self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time() + self._stop_seconds)
        self._stopping.set()

    async def wait_until_started(self) -> None:
        """Wait until the leases exist and balancing has begun, or the host has ended."""
        await self._started.wait()

    @property
    def ended(self) -> bool:
        """Whether `run` is over."""
        return self._ended

    def expect_leases(self, within_seconds: float) -> None:
        """Look for free leases about then already: somebody is known to have released some."""
        if self._alarm is not None:
            self._alarm.soon(within_seconds)

    def reports(self) -> Sequence[RangeReport]:
        """The condition of each range of this host as of now."""
        return () if self._controller is None else self._controller.conditions()

    async def checkpoint(self, token: LeaseToken, epoch: Epoch, continuation: Continuation) -> None:
        """Bookmark a position at the user's word (manual mode).

        Raises: LeaseLost when the lease, or the epoch in which the position was read, is gone.
        """
        if self._controller is None:
            raise RuntimeError("the host has not started")
        await self._controller.checkpoint(token, epoch, continuation)

    async def _live(self) -> None:
        neighbours = await self._meet()
        bootstrapper = Bootstrapper(neighbours=neighbours, markers=self._markers)
        await bootstrapper.run(self._stopping)
        if not self._stopping.is_set():
            await self._serve(neighbours, bootstrapper)

    async def _meet(self) -> Neighbours[P]:
        patience = Patience(clock=self._clock, draw=self._draw.random, stopping=self._stopping)
        return Neighbours(
            allowance=self._allowance,
            source=self._source,
            leases=self._leases,
            sink=self._sink,
            sweeper=self._sweeper,
            clock=self._clock,
            draw=self._draw,
            observer=self._observer,
            options=self._options,
            me=self._me,
            container_rid=await patience.until_done(
                self._source.feed.container_rid, waits=self._waits_to_start
            ),
        )

    async def _waits_to_start(self, failed: Failed) -> None:
        error = failed.error
        log.warning(Event.BOOTSTRAP_WAITING, error=f"{type(error).__name__}: {error}")

    async def _serve(self, neighbours: Neighbours[P], bootstrapper: Bootstrapper[P]) -> None:
        """Balance and report until a stop, then drain.

        1. No more acquisitions. 2. Every range drains and releases. 3. The last report.
        """
        self._stop_seconds = self._options.drain_seconds + ABORT_SECONDS + LAST_WORDS_SECONDS
        async with asyncio.TaskGroup() as group:
            self._alarm = alarm = Alarm(self._clock)
            controller = Controller(neighbours=neighbours, group=group, soon=alarm.soon)
            balancer = Balancer(
                neighbours=neighbours,
                controller=controller,
                bootstrapper=bootstrapper,
                alarm=alarm,
                listed=bootstrapper.listed,
            )
            reporter = Reporter(neighbours=neighbours, controller=controller)
            self._controller = controller
            naming = group.create_task(
                self._name_ignored_starts(neighbours, bootstrapper.listed), name="host:starts"
            )
            following = group.create_task(self._follow(neighbours), name="host:follower")
            balancing = group.create_task(balancer.run(), name="host:balancer")
            reporting = group.create_task(reporter.run(), name="host:reporter")
            self._started.set()
            await self._stopping.wait()
            log.info(Event.HOST_STOPPING, instance=self._options.instance_name)
            deadline = Deadline(self._clock, self._options.drain_seconds)
            balancer.stop()
            await controller.drain(deadline)
            for task in (naming, following, balancing, reporting):
                task.cancel()
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS_SECONDS):
                    await reporter.report()
            self._controller = None

    async def _follow(self, neighbours: Neighbours[P]) -> None:
        """Stop once the target follows another container: only a new host can read that one."""
        self._outdated = await until_followed(neighbours)
        self.request_stop()

    async def _name_ignored_starts(
        self, neighbours: Neighbours[P], listed: Sequence[Lease] | None
    ) -> None:
        """One line about the bookmarks that win over a changed START_FROM."""
        start = str(self._options.start_from)
        try:
            leases = await neighbours.leases.list_leases() if listed is None else listed
        except ProjectorError:
            return
        kept = [
            lease.token
            for lease in leases
            if lease.continuation is not None
            and lease.anchored_from is None
            and lease.properties.get(START_FROM_PROPERTY, start) != start
        ]
        if kept:
            log.warning(
                Event.START_FROM_IGNORED,
                start_from=start,
                leases=kept,
                remedy="projector leases reset",
            )
