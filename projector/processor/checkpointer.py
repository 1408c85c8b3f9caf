"""Writes the newest committed position to the lease; older ones that wait are skipped.

Never ahead of the target: only positions that the applier has committed are offered. A quiet
range is bookmarked at once, a busy one every so often and at its end. An outage of the lease
container delays the bookmark and nothing else; a lost lease ends the range.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from contextlib import suppress

import structlog

from projector.core.errors import ProjectorError
from projector.core.lease import DELIVERED_PROPERTY
from projector.core.names import Continuation
from projector.core.start import Position
from projector.ports.feed import Clock
from projector.processor.events import Event
from projector.processor.lease_keeper import LeaseKeeper
from projector.processor.options import Checkpointing, ProcessorOptions
from projector.processor.status import RangeStatus
from projector.processor.waiting import Failed, Patience, Stopped, is_passing, pause

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
        self._draw = draw.random
        self._status = status
        self._properties = dict(properties)
        self._pending: Continuation | None = None
        self._delivered: Continuation | None = None
        self._acknowledged: Continuation | None = None
        self._written_at: float | None = None
        self._wake = asyncio.Event()
        self._closing = asyncio.Event()
        self._patience = Patience(clock=clock, draw=self._draw, stopping=self._closing)

    def offer(self, position: Position, *, delivered: bool) -> None:
        """Take a committed position; in manual mode only polls without changes count."""
        if self._options.checkpointing is Checkpointing.MANUAL:
            self._delivered = position.continuation if delivered else self._delivered
            if self._delivered != self._acknowledged:
                return
        elif delivered:
            self._properties[DELIVERED_PROPERTY] = "true"
        if position.continuation is not None:
            self._pending = position.continuation
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
        """Write the newest position that is pending, however long that takes; at the end, briefly."""
        if not self._closing.is_set():
            with suppress(Stopped):
                await self._patience.until_done(self._write_pending, waits=self._failed)
                return
        last = Patience(clock=self._clock, draw=self._draw)
        try:
            await last.until_done(self._write_pending, waits=self._failed_at_last)
        except ProjectorError as error:
            if not is_passing(error):
                raise
            self._pending = None

    async def _write_pending(self) -> None:
        continuation = self._pending
        if continuation is None:
            return
        await self._keeper.checkpoint(continuation, dict(self._properties))
        self._written_at = self._clock.monotonic()
        if self._pending == continuation:
            self._pending = None

    async def _failed(self, failed: Failed) -> None:
        error = failed.error
        self._status.note(error)
        log.warning(
            Event.CHECKPOINT_FAILED,
            lease=self._keeper.token,
            error=f"{type(error).__name__}: {error}",
        )

    async def _failed_at_last(self, failed: Failed) -> None:
        await self._failed(failed)
        if failed.failures >= LAST_TRIES or failed.seconds > LAST_WAIT_SECONDS:
            raise failed.error
