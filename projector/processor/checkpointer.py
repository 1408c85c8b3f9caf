"""Writes the newest committed place to the lease; older ones that wait are skipped.

Never ahead of the target: only places that the applier has committed are offered. A quiet
range is bookmarked at once, a busy one every so often and at its end. An outage of the lease
container delays the bookmark and nothing else; a lost lease ends the range.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping

import structlog

from projector.core.errors import Disposition, ProjectorError
from projector.core.lease import DELIVERED_PROPERTY
from projector.core.names import Continuation
from projector.core.pacing import retry_seconds
from projector.core.start import StoredPlace
from projector.ports.feed import Clock
from projector.processor.events import Event
from projector.processor.lease_keeper import LeaseKeeper
from projector.processor.options import Checkpointing, ProcessorOptions
from projector.processor.status import RangeStatus
from projector.processor.waiting import pause

LAST_TRIES = 3
"""Attempts at the last bookmark of a range that ends."""

LAST_WAIT_SECONDS = 2.0
"""Longest wait before another of them: without the bookmark the last batch is read once more."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Checkpointer:
    """The bookmarking task of one range."""

    def __init__(
        self,
        *,
        keeper: LeaseKeeper,
        options: ProcessorOptions,
        clock: Clock,
        draw: random.Random,
        status: RangeStatus,
        properties: Mapping[str, str],
    ) -> None:
        self._keeper = keeper
        self._options = options
        self._clock = clock
        self._draw = draw
        self._status = status
        self._properties = dict(properties)
        self._pending: Continuation | None = None
        self._delivered: Continuation | None = None
        self._acknowledged: Continuation | None = None
        self._written_at: float | None = None
        self._wake = asyncio.Event()
        self._closing = asyncio.Event()

    def offer(self, place: StoredPlace, *, delivered: bool) -> None:
        """Take a committed place; in manual mode only polls without changes count."""
        if self._options.checkpointing is Checkpointing.MANUAL:
            self._delivered = place.continuation if delivered else self._delivered
            if self._delivered != self._acknowledged:
                return
        elif delivered:
            self._properties[DELIVERED_PROPERTY] = "true"
        if place.continuation is not None:
            self._pending = place.continuation
            self._wake.set()

    async def write(self, continuation: Continuation) -> None:
        """Bookmark at the user's word (manual mode). Raises: LeaseLost, LeaseStoreUnavailable."""
        if not continuation:
            raise ValueError("a checkpoint needs a continuation")
        self._properties[DELIVERED_PROPERTY] = "true"
        await self._keeper.checkpoint(continuation, dict(self._properties))
        self._acknowledged = continuation

    def close(self) -> None:
        """Write what is pending, then end."""
        self._closing.set()
        self._wake.set()

    async def run(self) -> None:
        """Write bookmarks until closed. Raises: LeaseLost, LeaseMissing."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._pending is not None:
                await self._spaced()
                await self._write()
            if self._closing.is_set() and self._pending is None:
                return

    async def _spaced(self) -> None:
        if self._written_at is None:
            return
        due = self._written_at + self._options.checkpoint_seconds
        await pause(self._clock, due - self._clock.monotonic(), until=self._closing)

    async def _write(self) -> None:
        failures = 0
        while (continuation := self._pending) is not None:
            try:
                await self._keeper.checkpoint(continuation, dict(self._properties))
            except ProjectorError as error:
                if error.disposition is not Disposition.RETRY:
                    raise
                failures += 1
                self._failed(error)
                seconds = retry_seconds(error, failures, draw=self._draw.random())
                if self._closing.is_set():
                    if failures >= LAST_TRIES or seconds > LAST_WAIT_SECONDS:
                        self._pending = None
                        return
                    await self._clock.sleep(seconds)
                else:
                    await pause(self._clock, seconds, until=self._closing)
            else:
                self._written_at = self._clock.monotonic()
                if self._pending == continuation:
                    self._pending = None
                return

    def _failed(self, error: ProjectorError) -> None:
        self._status.note(error)
        log.warning(
            Event.CHECKPOINT_FAILED,
            lease=self._keeper.token,
            error=f"{type(error).__name__}: {error}",
        )
