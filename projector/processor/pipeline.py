"""The tasks of a range that is being read: reader, applier, checkpointer, sweep.

They end together. What the reader finds out (the range is gone, the container is another
one, or was restored) ends them in the orderly way: the batch in hand is finished and
bookmarked first. So does a stop. An error ends them at once.

Writes the newest committed position to the lease; older ones that wait are skipped.

Never ahead of the target: only positions that the applier has committed are offered. A quiet
range is bookmarked at once, a busy one every so often and at its end. An outage of the lease
container delays the bookmark and nothing else; a lost lease ends the range.

Hands batches to the target, one after the other, and tells the checkpointer what is durable.

Order: 1. the batch is committed with its position; 2. only then its bookmark is offered. While
the target is down the same batch is tried again and nothing is lost; a stop in that time
leaves the batch to the next owner.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Generic, TypeVar

import structlog

from projector.core.errors import FeedError, ProjectorError, SourceRecreated
from projector.core.lease import DELIVERED_PROPERTY
from projector.core.names import Continuation, Epoch, LeaseToken
from projector.core.start import Position
from projector.core.states import RangeState
from projector.ports.feed import Clock, Grant
from projector.ports.traces import BatchTrace, Phase
from projector.processor.events import Event
from projector.processor.lease_keeper import LeaseKeeper
from projector.processor.neighbours import Neighbours
from projector.processor.opening import Started
from projector.processor.options import Checkpointing, ProcessorOptions
from projector.processor.reader import Reader, WaitingPages
from projector.processor.status import RangeStatus, Role
from projector.processor.sweeping import Sweeping
from projector.processor.waiting import Failed, Patience, Stopped, is_passing, pause

P = TypeVar("P")


class Applier(Generic[P]):
    """The writing task of one range."""

    def __init__(
        self,
        *,
        neighbours: Neighbours[P],
        grant: Grant,
        pages: WaitingPages[P],
        checkpointer: Checkpointer,
        status: RangeStatus,
    ) -> None:
        self._sink = neighbours.sink
        self._clock = neighbours.clock
        self._observer = neighbours.observer
        self._grant = grant
        self._pages = pages
        self._checkpointer = checkpointer
        self._status = status
        self._patience = Patience(
            clock=neighbours.clock, draw=neighbours.draw.random, stopping=pages.closed
        )

    async def run(self) -> SourceRecreated | None:
        """Apply until the pages are closed; the value says that the container is another one."""
        token = self._grant.claim.lease_token
        while (batch := await self._pages.take()) is not None:
            began = self._clock.monotonic()
            try:
                applied = await self._patience.until_done(
                    partial(self._sink.apply, self._grant, batch.pages, batch.position),
                    waits=self._waits,
                    seen=partial(self._status.attempt, Role.APPLIER),
                )
            except Stopped:
                return None
            except SourceRecreated as error:
                return error
            self._pages.done()
            self._status.go_on(Role.APPLIER)
            self._status.moved(batch.position, applied)
            ended = self._clock.monotonic()
            if batch.traces:
                self._checkpointer.follow(
                    BatchTrace(pages=batch.traces, apply=(began, ended), applied=applied)
                )
            self._checkpointer.offer(batch.position, delivered=applied.delivered > 0)
            self._observer.applied(token, applied, seconds=ended - began)
        return None

    async def _waits(self, failed: Failed) -> None:
        if self._status.wait(Role.APPLIER, RangeState.WAITING_FOR_TARGET, failed.error):
            await self._observer.failed(self._grant.claim.lease_token, failed.error)


BATCH_BYTES = 4_000_000
"""Bound of what one `Sink.apply` gets, beside `batch_documents`; a single page may exceed it."""

TRACES_AT_ONCE = 100
"""Batches that are followed while no bookmark can be written."""

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
        on_traced: Callable[[LeaseToken, BatchTrace], object],
    ) -> None:
        self._keeper = keeper
        self._options = options
        self._clock = clock
        self._draw = draw.random
        self._status = status
        self._properties = dict(properties)
        self._on_traced = on_traced
        self._traces: list[BatchTrace] = []
        self._pending: Continuation | None = None
        self._delivered: Continuation | None = None
        self._acknowledged: Continuation | None = None
        self._written_at: float | None = None
        self._wake = asyncio.Event()
        self._closing = asyncio.Event()
        self._patience = Patience(clock=clock, draw=self._draw, stopping=self._closing)

    def follow(self, trace: BatchTrace) -> None:
        """Take the way of a batch that is committed; it ends with the next bookmark."""
        self._traces.append(trace)
        if len(self._traces) > TRACES_AT_ONCE:
            self._traced(None)

    def _traced(self, bookmark: Phase | None) -> None:
        """End what is followed: the newest of it was bookmarked then, or not at all."""
        traces, self._traces = self._traces, []
        for trace in traces:
            newest = trace is traces[-1]
            self._on_traced(
                self._keeper.token, replace(trace, bookmark=bookmark) if newest else trace
            )

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
        began = self._clock.monotonic()
        await self._keeper.checkpoint(continuation, dict(self._properties))
        self._acknowledged = continuation
        self._traced((began, self._clock.monotonic()))

    def close(self) -> None:
        """Write what is pending, then end."""
        self._closing.set()
        self._wake.set()

    async def run(self) -> None:
        """Write bookmarks until closed. Raises: LeaseLost, LeaseMissing."""
        with suppress(Stopped):
            while not self._closing.is_set():
                await self._wake.wait()
                self._wake.clear()
                if self._pending is not None and not await self._spaced():
                    await self._patience.until_done(self._write, waits=self._failed)
        while self._pending is not None:
            await self._write_last()
        self._traced(None)

    async def _spaced(self) -> bool:
        """Keep the distance to the bookmark before; whether the range ends meanwhile."""
        if self._written_at is None:
            return self._closing.is_set()
        due = self._written_at + self._options.checkpoint_seconds
        return await pause(self._clock, due - self._clock.monotonic(), until=self._closing)

    async def _write(self) -> None:
        """One attempt to write the newest position that is pending."""
        continuation = self._pending
        if continuation is None:
            return
        began = self._clock.monotonic()
        await self._keeper.checkpoint(continuation, dict(self._properties))
        self._written_at = self._clock.monotonic()
        self._traced((began, self._written_at))
        if self._pending == continuation:
            self._pending = None

    async def _write_last(self) -> None:
        """Briefly: who comes next reads the last batch again, and changes nothing by it."""
        patience = Patience(clock=self._clock, draw=self._draw)
        try:
            await patience.until_done(self._write, waits=self._failed_at_last)
        except ProjectorError as error:
            if not is_passing(error):
                raise
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


class Pipeline(Generic[P]):
    """One reading of one range, from its start to its end."""

    def __init__(
        self,
        *,
        neighbours: Neighbours[P],
        keeper: LeaseKeeper,
        started: Started,
        status: RangeStatus,
    ) -> None:
        self._token = keeper.token
        self._epoch = started.grant.epoch
        self._pages: WaitingPages[P] = WaitingPages(
            start=started.position,
            max_documents=neighbours.options.batch_documents,
            max_bytes=BATCH_BYTES,
            clock=neighbours.clock,
            gather_seconds=neighbours.options.gather_seconds,
        )
        self._checkpointer = Checkpointer(
            keeper=keeper,
            options=neighbours.options,
            clock=neighbours.clock,
            draw=neighbours.draw,
            status=status,
            properties=started.properties,
            on_traced=neighbours.observer.traced,
        )
        self._reader = Reader(
            neighbours=neighbours,
            target=started.target,
            pages=self._pages,
            status=status,
        )
        self._applier = Applier(
            neighbours=neighbours,
            grant=started.grant,
            pages=self._pages,
            checkpointer=self._checkpointer,
            status=status,
        )
        self._sweeping = Sweeping(neighbours=neighbours, grant=started.grant, status=status)

    async def checkpoint(self, epoch: Epoch, continuation: Continuation) -> bool:
        """Bookmark at the user's word; False when the position belongs to a former epoch."""
        if epoch != self._epoch:
            return False
        await self._checkpointer.write(continuation)
        return True

    async def run(self, stopping: asyncio.Event) -> FeedError | None:
        """Read, apply and bookmark until the range ends (why) or a stop is asked for (None).

        1. No more reading or sweeping. 2. The batch in hand is finished. 3. The last bookmark.
        """
        async with asyncio.TaskGroup() as group:
            name = f"range:{self._token}:"
            reading = group.create_task(self._reader.run(), name=name + "reader")
            applying = group.create_task(self._applier.run(), name=name + "applier")
            sweeping = group.create_task(self._sweeping.run(), name=name + "sweeper")
            marking = group.create_task(self._checkpointer.run(), name=name + "checkpointer")
            stopped = group.create_task(stopping.wait(), name=name + "stop")
            outcome = await _first_outcome((reading, applying, sweeping), stopped)
            for task in (reading, sweeping, stopped):
                task.cancel()
            self._pages.close()
            await asyncio.wait((applying,))
            self._checkpointer.close()
            await asyncio.wait((marking,))
        return outcome


async def _first_outcome(
    roles: Sequence[asyncio.Task[Any]], stopped: asyncio.Task[bool]
) -> FeedError | None:
    """The first result that is not None; None when the stop comes first."""
    waiting: set[asyncio.Task[Any]] = {*roles, stopped}
    while True:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for role in roles:
            if role in done and not role.cancelled() and role.exception() is None:
                result: FeedError | None = role.result()
                if result is not None:
                    return result
        if stopped in done:
            return None
