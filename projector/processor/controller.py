"""The ranges of one host: acquires leases, runs a supervisor for each, releases them.

One supervisor per lease token, never two. Whatever a range ends with, the host lives on: the
lease is given back, observers are told, and a range that failed here is left alone for a
while. Child ranges of a split are taken at once; balancing spreads them later.
Source: .NET v3 change feed processor, partition controller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Generic, TypeVar

import structlog

from projector.core.coverage import range_of
from projector.core.errors import (
    FencedOut,
    LeaseLost,
    LeaseMissing,
    ProjectorError,
)
from projector.core.lease import Lease
from projector.core.names import Continuation, Epoch, LeaseToken
from projector.core.states import CloseReason, RangeState
from projector.ports.feed import RangeReport
from projector.processor.events import Event
from projector.processor.handover import Ending
from projector.processor.holdoffs import HoldOffs
from projector.processor.lease_keeper import LeaseKeeper
from projector.processor.neighbours import Neighbours
from projector.processor.supervisor import RangeSupervisor
from projector.processor.waiting import Deadline, Failed, Patience, pause

RELEASE_TRIES = 3
RELEASE_WAIT_SECONDS = 5.0
"""Longest wait before another try: a lease that is given back later than that expires by itself."""

FREED_SECONDS = 1.0
"""How soon, about, to look for a lease that was lost to nobody: a reset or a release by hand."""

ABORT_SECONDS = 2.0
"""What ranges get to give their leases back after the drain budget is used up."""

P = TypeVar("P")

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Controller(Generic[P]):
    """Owner of all supervisors of a host; `soon` asks for a balancing cycle in that time."""

    def __init__(
        self,
        *,
        neighbours: Neighbours[P],
        group: asyncio.TaskGroup,
        soon: Callable[[float], None],
    ) -> None:
        self._neighbours = neighbours
        self._clock = neighbours.clock
        self._group = group
        self._soon = soon
        self._slots: set[LeaseToken] = set()
        self.held: set[LeaseToken] = set()
        """Leases that this run of the host ever took."""
        self._running: dict[LeaseToken, RangeSupervisor[P]] = {}
        self._lives: set[asyncio.Task[None]] = set()
        self._last_reports: list[RangeReport] = []
        self._draining = False
        self._emptied = asyncio.Event()
        self.holdoffs = HoldOffs(clock=neighbours.clock, draw=neighbours.draw)

    @property
    def tokens(self) -> frozenset[LeaseToken]:
        """Leases that are owned or being acquired."""
        return frozenset(self._slots)

    def running(self, token: LeaseToken) -> RangeSupervisor[P] | None:
        """The supervisor of a lease, None when this host does not run it."""
        return self._running.get(token)

    def reports(self) -> list[RangeReport]:
        """Conditions of the ranges that run, of those left alone, and last words of those gone."""
        last_reports, self._last_reports = self._last_reports, []
        newest = {report.lease_token: report for report in last_reports + self.conditions()}
        return list(newest.values())

    def conditions(self) -> list[RangeReport]:
        """Conditions of the ranges that run and of those left alone."""
        running = [supervisor.report() for supervisor in self._running.values()]
        held = [r for r in self.holdoffs.reports() if r.lease_token not in self._running]
        return held + running

    async def checkpoint(self, token: LeaseToken, epoch: Epoch, continuation: Continuation) -> None:
        """Bookmark at the user's word. Raises: LeaseLost, LeaseStoreUnavailable."""
        supervisor = self._running.get(token)
        if supervisor is None:
            raise LeaseLost(f"lease {token} is not owned by this host any more")
        await supervisor.checkpoint(epoch, continuation)

    async def acquire(self, lease: Lease) -> bool:
        """Take a lease and start its range; False when it runs here already.

        Raises: LeaseLost when somebody else was faster; any error of the lease store.
        """
        if lease.token in self._slots or self._draining:
            return False
        self._slots.add(lease.token)
        try:
            keeper = LeaseKeeper(
                store=self._neighbours.leases,
                clock=self._clock,
                me=self._neighbours.me,
                lease=await self._with_range(lease),
            )
            await keeper.acquire()
        except BaseException:
            self._vacate(lease.token)
            raise
        self.held.add(lease.token)
        log.info(Event.LEASE_ACQUIRED, lease=lease.token, before=lease.owner)
        self._begin(RangeSupervisor(neighbours=self._neighbours, keeper=keeper))
        return True

    def _begin(self, supervisor: RangeSupervisor[P]) -> None:
        token = supervisor.token
        self._running[token] = supervisor
        life = self._group.create_task(self._live(supervisor), name=f"range:{token}:supervisor")
        self._lives.add(life)
        life.add_done_callback(self._lives.discard)
        if self._draining:  # the drain began during the acquisition and did not see this range
            supervisor.stop()

    def note(self, error: Exception) -> None:
        """Let the condition of every range that runs tell of this."""
        for supervisor in self._running.values():
            supervisor.note(error)

    def fenced_out(self, lost: Mapping[LeaseToken, Epoch]) -> None:
        """The target says that these epochs own no range any more: end them without waiting.

        One that was reopened since then has another epoch by now, or none yet.
        """
        for token, epoch in lost.items():
            supervisor = self._running.get(token)
            if supervisor is None:
                self.holdoffs.hide(token)
            elif supervisor.report().epoch == epoch:
                error = FencedOut(f"a newer epoch owns the range of lease {token}")
                supervisor.end(Ending(reason=CloseReason.LEASE_LOST, error=error))

    async def drain(self, deadline: Deadline) -> None:
        """Let every range finish its batch and release its lease; abort those that are late.

        A range whose lease cannot even be given back then is left as it is: the lease expires.
        """
        self._draining = True
        for supervisor in self._running.values():
            supervisor.stop()
        if not await self._empty(deadline):
            for token, supervisor in self._running.items():
                log.warning(Event.RANGE_ABORTED, lease=token)
                supervisor.end(Ending(reason=CloseReason.SHUTDOWN))
            if not await self._empty(Deadline(self._clock, ABORT_SECONDS)):
                for life in self._lives:
                    life.cancel()

    async def _empty(self, deadline: Deadline) -> bool:
        self._emptied.clear()
        if self._slots:
            await pause(self._clock, deadline.remaining_seconds(), until=self._emptied)
        return not self._slots

    async def _with_range(self, lease: Lease) -> Lease:
        """Fill in the keys of a lease that an old writer left without."""
        if lease.feed_range is not None:
            return lease
        found = range_of(lease, await self._neighbours.source.recent_ranges())
        if found is None:
            raise LeaseLost(f"no partition bears or descends from the id of lease {lease.token}")
        return replace(lease, feed_range=found)

    async def _live(self, supervisor: RangeSupervisor[P]) -> None:
        token = supervisor.token
        await self._neighbours.observer.acquired(token)
        began = self._clock.monotonic()
        generation = self._neighbours.source.generation
        ending = await supervisor.run()
        if ending.reason is CloseReason.STALLED:
            log.warning(Event.RANGE_STALLED, lease=token, error=str(ending.error))
            await self._rebuild(token, generation)
        await self._release(supervisor.keeper, ending)
        self._leave(supervisor, ending, ran_seconds=self._clock.monotonic() - began)
        await self._tell(token, ending)
        for child in ending.children:
            await self._take_child(child)

    async def _rebuild(self, token: LeaseToken, generation: int) -> None:
        try:
            await self._neighbours.source.rebuild(generation)
        except ProjectorError as error:
            log.warning(Event.RANGE_FAILED, lease=token, error=f"{type(error).__name__}: {error}")

    async def _release(self, keeper: LeaseKeeper, ending: Ending) -> None:
        """Give the lease back; one that is gone or somebody else's is left alone."""
        if ending.reason is CloseReason.RANGE_GONE:
            return

        async def waits(failed: Failed) -> None:
            if failed.failures >= RELEASE_TRIES or failed.seconds > RELEASE_WAIT_SECONDS:
                raise failed.error
            log.warning(Event.RELEASE_FAILED, lease=keeper.token, error=str(failed.error))

        patience = Patience(clock=self._clock, draw=self._neighbours.draw.random)
        try:
            await patience.until_done(keeper.release, waits=waits)
        except (LeaseMissing, LeaseLost):
            return
        except ProjectorError as error:
            log.warning(Event.RELEASE_FAILED, lease=keeper.token, error=str(error))
        except Exception as error:  # noqa: BLE001 - the lease expires; the host lives on
            log.warning(Event.RELEASE_FAILED, lease=keeper.token, error=repr(error))

    def _leave(self, supervisor: RangeSupervisor[P], ending: Ending, *, ran_seconds: float) -> None:
        token = supervisor.token
        report = supervisor.report()
        if ending.error is not None:
            report = supervisor.failed(ending.error)
        wait_seconds = self.holdoffs.put(ending, report, ran_seconds=ran_seconds)
        if wait_seconds is not None:
            self._soon(wait_seconds)
        elif ending.reason is CloseReason.LEASE_LOST:
            self._look_for_freed(supervisor.keeper)
        else:
            self._last_reports.append(
                replace(report, state=RangeState.STOPPED, state_since=self._clock.now())
            )
        del self._running[token]
        self._vacate(token)

    def _vacate(self, token: LeaseToken) -> None:
        self._slots.discard(token)
        if not self._slots:
            self._emptied.set()

    def _look_for_freed(self, keeper: LeaseKeeper) -> None:
        if keeper.lease.owner is None:
            self._soon(FREED_SECONDS * (0.5 + self._neighbours.draw.random()))

    async def _tell(self, token: LeaseToken, ending: Ending) -> None:
        # A host that stops says so once; ten ranges more say nothing new.
        tell = log.debug if ending.reason is CloseReason.SHUTDOWN else log.info
        tell(
            Event.LEASE_RELEASED,
            lease=token,
            reason=ending.reason.value,
            error=None
            if ending.error is None
            else f"{type(ending.error).__name__}: {ending.error}",
        )
        error = ending.error
        quiet = isinstance(error, LeaseLost | FencedOut) and error.__cause__ is None
        if error is not None and not quiet:
            await self._neighbours.observer.failed(token, error)
        await self._neighbours.observer.released(token, ending.reason)

    async def _take_child(self, child: Lease) -> None:
        """At once, unless another host was faster; what fails is left to the balancing."""
        try:
            lease = await self._neighbours.leases.read(child.token)
            if lease.owner is None:
                await self.acquire(lease)
        except Exception as error:  # noqa: BLE001 - one child must not cost the other ranges
            log.info(
                Event.ACQUIRE_FAILED, lease=child.token, error=f"{type(error).__name__}: {error}"
            )
