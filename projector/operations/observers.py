"""What this program wants to hear from the processor: a summary, mistakes, progress.

All of it is passive; an exception of one of them is caught by the processor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import structlog
from typing_extensions import override

from projector.core.errors import Disposition, ProjectorError, SourceMissing, SourceRecreated
from projector.core.names import LeaseToken
from projector.core.pacing import Pace
from projector.core.states import CloseReason
from projector.ports.feed import Applied, Clock, Observer, Page, RangeReport
from projector.processor.notifications import SilentObserver
from projector.telemetry.logs import Event

EVERY_SECONDS = 10.0
"""How often a host that is behind tells how far it is."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@final
@dataclass(slots=True, kw_only=True)
class Tally(SilentObserver):
    """What one run did, in documents."""

    delivered: int = 0
    upserted: int = 0
    removed: int = 0
    unchanged: int = 0
    rejected: int = 0
    filtered: int = 0

    @override
    def applied(self, token: LeaseToken, applied: Applied, *, seconds: float) -> None:
        """Adds a committed batch."""
        self.delivered += applied.delivered
        self.upserted += applied.upserted
        self.removed += applied.removed
        self.unchanged += applied.unchanged
        self.rejected += applied.rejected
        self.filtered += applied.filtered

    @override
    def __str__(self) -> str:
        """One line for people."""
        others = f", {self.filtered} passed over" if self.filtered else ""
        return (
            f"{self.delivered} documents delivered: {self.upserted} upserted, {self.removed} removed,"
            f" {self.unchanged} unchanged, {self.rejected} rejected{others}"
        )


@final
class Mistakes(SilentObserver):
    """The first failure that no waiting mends, for a job, which nobody watches."""

    def __init__(self) -> None:
        """None so far."""
        self._found = asyncio.Event()
        self.first: ProjectorError | None = None

    @override
    async def failed(self, token: LeaseToken, error: Exception) -> None:
        """A range ended, or waits, because of this error."""
        if isinstance(error, ProjectorError) and (
            error.disposition is Disposition.ASK_PERSON
            or isinstance(error, SourceMissing | SourceRecreated)
        ):
            self.note(error)

    def note(self, error: ProjectorError) -> None:
        """Counts an error as one."""
        self.first = self.first or error
        self._found.set()

    async def found(self) -> None:
        """Waits for it."""
        await self._found.wait()


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Everybody:
    """Tells several observers, in their order."""

    observers: Sequence[Observer]

    async def acquired(self, token: LeaseToken) -> None:
        """The lease is owned, the range about to be read."""
        for observer in self.observers:
            await observer.acquired(token)

    async def released(self, token: LeaseToken, reason: CloseReason) -> None:
        """The range is no longer read by this host."""
        for observer in self.observers:
            await observer.released(token, reason)

    async def failed(self, token: LeaseToken, error: Exception) -> None:
        """A range ended, or waits, because of this error."""
        for observer in self.observers:
            await observer.failed(token, error)

    def polled(self, token: LeaseToken, page: Page) -> None:
        """A read was answered."""
        for observer in self.observers:
            observer.polled(token, page)

    def applied(self, token: LeaseToken, applied: Applied, *, seconds: float) -> None:
        """A batch was committed within that many seconds."""
        for observer in self.observers:
            observer.applied(token, applied, seconds=seconds)

    def observed(self, report: RangeReport) -> None:
        """The condition of a range, on every reporting cycle."""
        for observer in self.observers:
            observer.observed(report)


@final
class WhileLive:
    """Tells observers of one generation's ranges for as long as that generation is live.

    To them a promotion looks like ranges that are given back, and others that are acquired.
    """

    def __init__(self, observers: Sequence[Observer], *, live: bool) -> None:
        """Tell these."""
        self._everybody = Everybody(observers=observers)
        self._live = live
        self._held: dict[LeaseToken, None] = {}

    async def now(self, *, live: bool) -> None:
        """The generation is live from now on, or no longer."""
        if live == self._live:
            return
        self._live = live
        for token in list(self._held):
            if live:
                await self._everybody.acquired(token)
            else:
                await self._everybody.released(token, CloseReason.SHUTDOWN)

    async def acquired(self, token: LeaseToken) -> None:
        """The lease is owned, the range about to be read."""
        self._held[token] = None
        if self._live:
            await self._everybody.acquired(token)

    async def released(self, token: LeaseToken, reason: CloseReason) -> None:
        """The range is no longer read by this host."""
        self._held.pop(token, None)
        if self._live:
            await self._everybody.released(token, reason)

    async def failed(self, token: LeaseToken, error: Exception) -> None:
        """A range ended, or waits, because of this error."""
        if self._live:
            await self._everybody.failed(token, error)

    def polled(self, token: LeaseToken, page: Page) -> None:
        """A read was answered."""
        if self._live:
            self._everybody.polled(token, page)

    def applied(self, token: LeaseToken, applied: Applied, *, seconds: float) -> None:
        """A batch was committed within that many seconds."""
        if self._live:
            self._everybody.applied(token, applied, seconds=seconds)

    def observed(self, report: RangeReport) -> None:
        """The condition of a range, on every reporting cycle."""
        if self._live:
            self._everybody.observed(report)


async def tell_progress(
    *, tally: Tally, reports: Callable[[], Sequence[RangeReport]], clock: Clock
) -> None:
    """Log `progress` every ten seconds for as long as this host's ranges are behind; never returns.

    The gap is counted in changes, of which documents that were written several times use up more
    than one; so the time left is taken from how the gap shrinks, not from the documents read.
    """
    read, gained = Pace(), Pace()
    was_behind = False
    while True:
        gaps = [report.gap_changes for report in reports()]
        known = [gap for gap in gaps if gap is not None]
        read.look(clock.monotonic(), tally.delivered)
        if len(known) == len(gaps):
            gained.look(clock.monotonic(), -sum(known))
        behind = sum(known) > 0
        if behind and was_behind:
            left = gained.seconds_left(sum(known))
            log.info(
                Event.PROGRESS,
                documents=tally.delivered,
                documents_per_second=round(read.per_second or 0),
                gap_changes=sum(known),
                unknown_ranges=len(gaps) - len(known),
                seconds_left=None if left is None else round(left),
            )
        was_behind = behind
        await clock.sleep(EVERY_SECONDS)
