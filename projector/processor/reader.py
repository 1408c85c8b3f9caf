"""Reads one range, page after page, as far as there is room; waits outages out in place.

A position that was read but not committed lives here and in the waiting pages only; it never
reaches a lease. Throttling, outages, aged credentials and pages too large keep lease, position
and order. What ends the reading for good is returned as a value, so that the batch in hand
can be finished first: the range is gone, the container is another one, or was restored.
Source: .NET v3 change feed processor; Java SDK v4, waiting in place for 429 and 5xx.

Pages between reader and applier: at most one batch waits while another is applied.

Back-pressure: the reader asks for room before it reads, so what it reads always fits and
memory does not grow with the backlog. A poll without changes moves the end of what waits.
While the reader catches up, pages are gathered for a moment: large batches cost the target less
per document. Nothing is held back once the reader has come to the end, meets an error or waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Generic, TypeVar

from projector.core.errors import (
    CredentialExpired,
    FeedError,
    FeedRangeGone,
    PageTooLarge,
    ProjectorError,
    SourceMissing,
    SourceRecreated,
    Throttled,
)
from projector.core.pacing import next_poll_seconds, page_size
from projector.core.start import Position
from projector.core.states import RangeState
from projector.ports.budget import Bill
from projector.ports.feed import Clock, FeedTarget, Page
from projector.ports.traces import PageTrace, Phase
from projector.processor.handover import SourceWentBack
from projector.processor.neighbours import Neighbours
from projector.processor.status import RangeStatus, Role
from projector.processor.waiting import Failed, Patience, is_passing, pause

RESTORE_ANSWERS = 3
"""Answers in a row below a range's position that count as a restored container."""

RESTORE_SECONDS = 2.0
"""For how long they must come."""

POSITION_SECONDS = 1.0
"""Least time between two commits of a position alone: polls without changes."""

P = TypeVar("P")


class Reader(Generic[P]):
    """The reading task of one range."""

    def __init__(
        self,
        *,
        neighbours: Neighbours[P],
        target: FeedTarget,
        pages: WaitingPages[P],
        status: RangeStatus,
    ) -> None:
        self._source = neighbours.source
        self._sink = neighbours.sink
        self._clock = neighbours.clock
        self._observer = neighbours.observer
        self._options = neighbours.options
        self._allowance = neighbours.allowance
        self._target = target
        self._pages = pages
        self._status = status
        self._position = pages.tail
        self._size = page_size(neighbours.options.page_size)
        self._asked = self._size.current
        self._live = True
        self._generation = 0
        self._patience = Patience(clock=neighbours.clock, draw=neighbours.draw.random, helps=_helps)
        self._idle_seconds: float | None = None
        self._position_moved_at: float | None = None
        self._below_since: float | None = None
        self._below_count = 0

    async def run(self) -> FeedError:
        """Read until the range cannot be read any more; say why."""
        while True:
            await self._pages.room(self._size.current)
            began = self._clock.now()
            try:
                page, arrival = await self._patience.until_done(self._read, waits=self._waits)
            except (FeedRangeGone, SourceRecreated) as error:
                return error
            self._status.go_on(Role.READER)
            self._status.polled(page)
            self._observer.polled(self._target.lease_token, page)
            if self._below(page):
                if self._restored():
                    return self._went_back(page)
            elif arrival is not None:
                self._live = not arrival.more_follows
                self._size = self._size.recovered()
                self._idle_seconds = None
                self._position = arrival.position
                self._pages.put(arrival)
                continue
            else:
                self._take_nothing(page, began)
            self._pages.hurry()
            await self._rest()

    async def _read(self) -> tuple[Page, Arrival[P] | None]:
        """The next page made ready, None on 304; one that is cut off counts as not answered."""
        self._asked = self._allowance.documents(self._size.current, live=self._live)
        try:
            async with self._turn() as bill:
                self._generation = self._source.generation
                began = self._clock.monotonic()
                with self._status.attempt(Role.READER):
                    page = await self._source.feed.read_page(
                        self._target, self._position.continuation, max_documents=self._asked
                    )
                bill.cost(page.request_units, page.document_count or 0)
        except PageTooLarge:
            if self._asked == 1:
                raise
            self._size = replace(self._size, current=self._asked).halved()
        else:
            if page.body is None:
                return page, None
            answered = self._clock.monotonic()
            ready = self._sink.prepare(page)
            phases = (began, answered), (answered, self._clock.monotonic())
            return page, self._arrival(page, ready, *phases)
        return await self._read()

    def _arrival(self, page: Page, ready: P, read: Phase, prepare: Phase) -> Arrival[P]:
        count = page.document_count
        return Arrival(
            ready=ready,
            position=Position(continuation=page.continuation, lsn=page.lsn),
            documents=self._options.page_size if count is None else count,
            size_bytes=page.size_bytes,
            more_follows=count is not None and count >= self._asked,
            trace=PageTrace(
                read=read,
                prepare=prepare,
                documents=count,
                size_bytes=page.size_bytes,
                request_units=page.request_units,
            ),
        )

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[Bill]:
        """Enter when request units are there for the read; to wait for them is no stall."""
        async with AsyncExitStack() as stack:
            with self._status.waiting_for_units():
                spending = self._allowance.spending(self._asked, live=self._live)
                bill = await stack.enter_async_context(spending)
            yield bill

    async def _waits(self, failed: Failed) -> None:
        """Show the wait, and do what the error asks for beside it."""
        error = failed.error
        self._pages.hurry()
        throttled = isinstance(error, Throttled)
        state = RangeState.THROTTLED if throttled else RangeState.WAITING_FOR_SOURCE
        if self._status.wait(Role.READER, state, error):
            await self._observer.failed(self._target.lease_token, error)
        if isinstance(error, CredentialExpired):
            await self._source.rebuild(self._generation)

    def _take_nothing(self, page: Page, began: datetime) -> None:
        """Let the position move with a poll without changes, but not at every one of them."""
        self._live = True
        self._position = Position(continuation=page.continuation, lsn=page.lsn)
        if self._pages.idle:
            self._status.nothing_unread(since=began, lsn=page.lsn)
        if self._position.continuation == self._pages.tail.continuation:
            return
        now = self._clock.monotonic()
        if self._position_moved_at is None or now - self._position_moved_at >= POSITION_SECONDS:
            self._position_moved_at = now
            self._pages.move(self._position)

    async def _rest(self) -> None:
        self._idle_seconds = next_poll_seconds(
            self._idle_seconds,
            minimum_seconds=self._options.poll_min_seconds,
            maximum_seconds=self._options.poll_max_seconds,
        )
        await self._clock.sleep(self._idle_seconds)

    def _below(self, page: Page) -> bool:
        """Whether the service knows less than was read before: a late replica, or a restore.

        Such an answer moves nothing; the position never goes back by itself.
        """
        told = [lsn for lsn in (page.session_lsn, page.lsn) if lsn is not None]
        if self._position.lsn is None or not told or min(told) >= self._position.lsn:
            self._below_since, self._below_count = None, 0
            return False
        if self._below_since is None:
            self._below_since = self._clock.monotonic()
        self._below_count += 1
        return True

    def _restored(self) -> bool:
        """Whether that happened several times in a row and for a while."""
        since = self._below_since
        return (
            since is not None
            and self._below_count >= RESTORE_ANSWERS
            and self._clock.monotonic() - since >= RESTORE_SECONDS
        )

    def _went_back(self, page: Page) -> SourceWentBack:
        return SourceWentBack(
            f"the service's LSN {page.session_lsn} is below the position {self._position.lsn}"
            f" of lease {self._target.lease_token}"
        )


def _helps(error: ProjectorError) -> bool:
    """A container that is missing may be on its way: a restore makes it anew."""
    return is_passing(error) or isinstance(error, SourceMissing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival(Generic[P]):
    """A page made ready, which ends at `position`; `more_follows`: the next one is as good as here."""

    ready: P
    position: Position
    documents: int
    size_bytes: int
    more_follows: bool = False
    trace: PageTrace | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered(Generic[P]):
    """What one `Sink.apply` gets: pages, oldest first (none: the position moves alone), their end."""

    pages: tuple[P, ...]
    position: Position
    traces: tuple[PageTrace, ...] = ()


class WaitingPages(Generic[P]):
    """One reader puts, one applier takes."""

    def __init__(
        self,
        *,
        start: Position,
        max_documents: int,
        max_bytes: int,
        clock: Clock,
        gather_seconds: float,
    ) -> None:
        """Hold at most so much; gather pages for at most that long."""
        self._clock = clock
        self._gather_seconds = gather_seconds
        self._max_documents = max_documents
        self._max_bytes = max_bytes
        self._waiting: list[Arrival[P]] = []
        self._documents = 0
        self._size_bytes = 0
        self._largest_page_bytes = 0
        self._in_hand = False
        self._moved = False
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()
        self._gathered = asyncio.Event()
        self.closed = asyncio.Event()
        """Set when nothing more will be taken; what waits is left to the next owner."""
        self.tail = start
        """The end of everything put so far."""

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is being applied."""
        return not (self._waiting or self._moved or self._in_hand)

    async def room(self, documents: int) -> None:
        """Wait until a page of that many documents fits beside what waits."""
        while self._waiting and not self._fits(documents):
            self._gathered.set()
            self._taken.clear()
            await self._taken.wait()

    def put(self, arrival: Arrival[P]) -> None:
        """Add a page."""
        if arrival.more_follows:
            self._gathered.clear()
        else:
            self._gathered.set()
        self._waiting.append(arrival)
        self._documents += arrival.documents
        self._size_bytes += arrival.size_bytes
        self._largest_page_bytes = max(self._largest_page_bytes, arrival.size_bytes)
        self.tail = arrival.position
        self._arrived.set()

    def move(self, position: Position) -> None:
        """Move the end without a page: the source has nothing up to there."""
        self.tail = position
        self._moved = True
        self.hurry()
        self._arrived.set()

    def hurry(self) -> None:
        """Hold nothing back: no page follows soon."""
        self._gathered.set()

    async def take(self) -> Gathered[P] | None:
        """Everything that waits, as one batch; None once closed."""
        while not self.closed.is_set():
            if self._waiting or self._moved:
                await pause(self._clock, self._gather_seconds, until=self._gathered)
                if self.closed.is_set():
                    return None
                return self._gather()
            self._arrived.clear()
            await self._arrived.wait()
        return None

    def done(self) -> None:
        """The batch last taken has been committed."""
        self._in_hand = False

    def close(self) -> None:
        """Let the applier end after the batch in hand."""
        self.closed.set()
        self._gathered.set()
        self._arrived.set()

    def _fits(self, documents: int) -> bool:
        return (
            self._documents + documents <= self._max_documents
            and self._size_bytes + self._largest_page_bytes <= self._max_bytes
        )

    def _gather(self) -> Gathered[P]:
        gathered = Gathered(
            pages=tuple([one.ready for one in self._waiting]),
            position=self.tail,
            traces=tuple([one.trace for one in self._waiting if one.trace is not None]),
        )
        self._waiting.clear()
        self._documents = self._size_bytes = 0
        self._moved = False
        self._in_hand = True
        self._taken.set()
        return gathered
