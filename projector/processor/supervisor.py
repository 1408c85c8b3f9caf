"""Runs one owned range from its acquisition to its end, and gives one reason for the end.

All tasks of the range live in one group: whichever fails first ends them all. A stop drains:
the batch in hand is finished and bookmarked, what only waits is left to the next owner. An
abort leaves at once; the fence in the target keeps that safe. A range whose container was
recreated keeps its lease and its rows and looks again from time to time; whether the target
follows the new one is for the host to find out.
Source: .NET v3 change feed processor, partition supervisor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any, Generic, TypeVar

import structlog

from projector.core.errors import (
    Disposition,
    FeedError,
    FeedRangeGone,
    LeaseLost,
    ProjectorError,
    SourceRecreated,
)
from projector.core.names import Continuation, Epoch, LeaseToken
from projector.core.pacing import backoff_seconds
from projector.core.states import CloseReason, RangeState
from projector.ports.feed import RangeReport
from projector.processor.events import Event
from projector.processor.handover import Ending, RangeClosed, SourceWentBack, ending_of, hand_over
from projector.processor.lease_keeper import LeaseKeeper, Renewer
from projector.processor.neighbours import RECHECK_SECONDS, Neighbours
from projector.processor.opening import Opening, Outgrown
from projector.processor.pipeline import Pipeline
from projector.processor.status import RangeStatus, Role
from projector.processor.waiting import Patience, Stopped, pause
from projector.processor.watchdog import Watchdog

P = TypeVar("P")

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class RangeSupervisor(Generic[P]):
    """One range of one host."""

    def __init__(self, *, neighbours: Neighbours[P], keeper: LeaseKeeper) -> None:
        self._neighbours = neighbours
        self._clock = neighbours.clock
        self._options = neighbours.options
        self._keeper = keeper
        self._status = RangeStatus(
            lease=keeper.lease, owner=neighbours.options.instance_name, clock=neighbours.clock
        )
        self._stopping = asyncio.Event()
        self._early: Ending | None = None
        self._early_event = asyncio.Event()
        self._patience = Patience(
            clock=neighbours.clock, draw=neighbours.draw.random, stopping=self._stopping
        )
        self._opening = Opening(
            neighbours=neighbours, keeper=keeper, status=self._status, patience=self._patience
        )
        self._pipeline: Pipeline[P] | None = None
        self._kept = 0

    @property
    def token(self) -> LeaseToken:
        """The lease token."""
        return self._keeper.token

    @property
    def keeper(self) -> LeaseKeeper:
        """The lease, as this host holds it."""
        return self._keeper

    def report(self) -> RangeReport:
        """The condition of the range as of now."""
        return self._status.report()

    def note(self, error: Exception) -> None:
        """Let the condition tell of this."""
        self._status.note(error)

    def failed(self, error: Exception) -> RangeReport:
        """The condition with the error that ended the range."""
        self.note(error)
        return self.report()

    def stop(self) -> None:
        """Finish the batch in hand, bookmark it, end."""
        self._stopping.set()

    def end(self, ending: Ending) -> None:
        """End at once, for a reason that somebody else found."""
        self._early = self._early or ending
        self._early_event.set()

    async def verify(self) -> None:
        """Look whether the lease is still ours, and end the range if it is not."""
        try:
            await self._keeper.verify()
        except ProjectorError as error:
            if error.disposition is not Disposition.RETRY:
                self.end(Ending(reason=CloseReason.LEASE_LOST, error=error))

    async def checkpoint(self, epoch: Epoch, continuation: Continuation) -> None:
        """Bookmark at the user's word. Raises: LeaseLost, also for a position of a former epoch."""
        if self._pipeline is None or not await self._pipeline.checkpoint(epoch, continuation):
            raise LeaseLost(f"lease {self.token} was lost before this checkpoint")

    async def run(self) -> Ending:
        """Serve the range until it ends; raises nothing but cancellation."""
        ending = Ending(reason=CloseReason.SHUTDOWN)
        try:
            async with asyncio.TaskGroup() as group:
                for role, work in self._roles():
                    group.create_task(work, name=f"range:{self.token}:{role}")
        except* Exception as errors:  # noqa: BLE001 - whatever ends a range, the host lives on
            ending = ending_of(errors)
        return ending

    def _roles(self) -> tuple[tuple[str, Coroutine[Any, Any, None]], ...]:
        renewer = Renewer(
            keeper=self._keeper,
            clock=self._clock,
            renew_seconds=self._options.renew_seconds,
            status=self._status,
        )
        watchdog = Watchdog(status=self._status, options=self._options, clock=self._clock)
        return (
            ("renewer", renewer.run()),
            ("watchdog", watchdog.run()),
            ("ender", self._end_early()),
            ("server", self._serve()),
        )

    async def _end_early(self) -> None:
        await self._early_event.wait()
        raise RangeClosed(self._early or Ending(reason=CloseReason.SHUTDOWN))

    async def _serve(self) -> None:
        went_back = False
        while not self._stopping.is_set():
            outcome = await self._once(went_back=went_back)
            went_back = isinstance(outcome, SourceWentBack)
            match outcome:
                case Outgrown():
                    await self._replace(outcome)
                case SourceRecreated():
                    await self._park(outcome)
                case SourceWentBack():
                    self._status.note(outcome)
                    log.warning(Event.SOURCE_WENT_BACK, lease=self.token, error=str(outcome))
                    await self._neighbours.observer.failed(self.token, outcome)
                case _:
                    pass
        raise RangeClosed(Ending(reason=CloseReason.SHUTDOWN))

    async def _once(self, *, went_back: bool) -> Outgrown | FeedError | None:
        """Open the range and read it until something ends that; None after a stop."""
        try:
            opened = await self._opening.run(went_back=went_back)
        except Stopped:
            return None
        except SourceRecreated as error:
            return error
        if isinstance(opened, Outgrown):
            return opened
        self._pipeline = Pipeline(
            neighbours=self._neighbours, keeper=self._keeper, started=opened, status=self._status
        )
        began = self._clock.monotonic()
        outcome = await self._pipeline.run(self._stopping)
        if self._clock.monotonic() - began > self._options.expiration_seconds:
            self._kept = 0
        if not isinstance(outcome, FeedRangeGone):
            return outcome
        return Outgrown(
            lease=self._keeper.lease,
            continuation=self._status.committed.continuation,
            retired=False,
        )

    async def _replace(self, outgrown: Outgrown) -> None:
        """Let the children take over and end; or go on, when the lease still fits its partition."""
        try:
            created = await self._patience.until_done(
                partial(
                    hand_over,
                    outgrown.lease,
                    outgrown.continuation,
                    retired=outgrown.retired,
                    source=self._neighbours.source,
                    leases=self._neighbours.leases,
                ),
                waits=self._opening.waits,
            )
        except Stopped:
            return
        if created is not None:
            raise RangeClosed(Ending(reason=CloseReason.RANGE_GONE, children=tuple(created)))
        # The service says "gone" and its map says "unchanged": do not spin meanwhile.
        self._kept += 1
        seconds = backoff_seconds(self._kept, draw=self._neighbours.draw.random())
        await pause(self._clock, seconds, until=self._stopping)

    async def _park(self, error: SourceRecreated) -> None:
        """Keep lease and rows, show the state, and look again after a while."""
        if self._status.wait(Role.READER, RangeState.SOURCE_RECREATED, error):
            await self._neighbours.observer.failed(self.token, error)
        self._neighbours.source.doubt(error)
        await pause(self._clock, RECHECK_SECONDS, until=self._stopping)
