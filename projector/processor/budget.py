"""A host's part of the request units that all hosts of a processor may spend per second.

All hosts book on one line of time (`Ledger`): a booking of units takes units / limit seconds of it, begins
where the last one ends, never in the past, and is spent when its time has come. So what is spent in any
stretch of time is what that stretch has room for, plus what hosts hold in reserve, which is little: the
reserves of all hosts together are `RESERVE_SECONDS` of the limit. A host that is killed takes its reserve
and at most one booking with it; the line goes on.

Who waits is served by deadline: live reads are due at once, backlog a moment later, so that changes go
first and a backlog never comes to a stand. Bookings are as large as a reserve or a page, so there are a few
statements per second, however many requests there are. Costs are foreseen, and what a read cost more is
booked with the next one.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from heapq import heappop, heappush

from projector.core.errors import ProjectorError
from projector.ports.budget import Bill, Ledger
from projector.ports.feed import Clock
from projector.processor.refusals import Refusals

RESERVE_SECONDS = 0.2
"""What all hosts hold together, as a part of a second's limit."""

PAGE_SECONDS = 0.1
"""The most that a page of a backlog may cost, as a part of a second's limit."""

LIVE_UNITS = 3.0
"""What a poll may cost: mostly there is nothing new, which costs one."""

BACKLOG_SECONDS = 5.0
"""How much later than a live read of the same moment one of a backlog is due."""

AGAIN_SECONDS = 1.0
"""Until the ledger is asked again when it did not answer."""

READ_UNITS = 1.0
DOCUMENT_UNITS = 0.1
"""What a document of a page costs until one is seen."""


@dataclass(order=True, slots=True)
class _Waiter:
    due: float
    turn: int
    units: float = field(compare=False)
    may: asyncio.Event = field(compare=False, default_factory=asyncio.Event)
    gone: bool = field(compare=False, default=False)


class Budget:
    """`Allowance` by a ledger; `run` books for whoever waits."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        per_second: float,
        clock: Clock,
        hosts: Callable[[], int] = lambda: 1,
        on_waited: Callable[[float], object] = lambda seconds: None,
    ) -> None:
        """Hold nothing yet.

        Args:
            ledger: On which all hosts book.
            per_second: Request units for all of them together.
            clock: Time to wait.
            hosts: How many they are.
            on_waited: Told how long each read has waited.
        """
        self._ledger = ledger
        self._per_second = per_second
        self._clock = clock
        self._hosts = hosts
        self._on_waited = on_waited
        self._reserve = 0.0
        self._per_document = DOCUMENT_UNITS
        self._waiting: list[_Waiter] = []
        self._turns = itertools.count()
        self._wanted = asyncio.Event()

    def documents(self, most: int, *, live: bool) -> int:
        """As many as a poll, or a page of a backlog, may cost by what documents have cost so far."""
        units = LIVE_UNITS if live else self._slice
        return max(1, min(most, int((units - READ_UNITS) / self._per_document)))

    @asynccontextmanager
    async def spending(self, documents: int, *, live: bool) -> AsyncIterator[Bill]:
        """Enter when it is this read's turn; what it costs has to be told to `charge` as well."""
        units = READ_UNITS + documents * self._per_document
        await self._turn(units, live=live)
        try:
            yield self
        finally:
            self._give(units)

    def cost(self, request_units: float, documents: int) -> None:
        """Learn from a page what documents cost: at once that they cost more, slowly that they cost less."""
        if documents <= 0:
            return
        seen = max(0.0, request_units - READ_UNITS) / documents
        self._per_document = max(seen, 0.8 * self._per_document + 0.2 * seen, 0.001)

    def charge(self, request_units: float) -> None:
        """Take what an answered request cost, whether somebody asked before it or not."""
        self._reserve -= request_units

    async def run(self) -> None:
        """Book for those who wait, until cancelled."""
        refusals = Refusals("booking request units")
        while True:
            await self._wanted.wait()
            units = self._needed()
            if units is None:
                self._wanted.clear()
                continue
            try:
                with refusals.told():
                    seconds = await self._ledger.book(units, per_second=self._per_second)
            except ProjectorError:
                await self._clock.sleep(AGAIN_SECONDS)  # without the target nothing is read anyway
                continue
            overspent = max(0.0, -self._reserve)  # the first part of the booking is for that
            await self._clock.sleep(seconds + overspent / self._per_second)
            self._give(units)

    @property
    def _slice(self) -> float:
        return max(READ_UNITS * 2, self._per_second * PAGE_SECONDS)

    @property
    def _least(self) -> float:
        """This host's part of the reserves."""
        return max(READ_UNITS, self._per_second * RESERVE_SECONDS / max(1, self._hosts()))

    async def _turn(self, units: float, *, live: bool) -> None:
        began = self._clock.monotonic()
        due = began if live else began + BACKLOG_SECONDS
        waiter = _Waiter(due=due, turn=next(self._turns), units=units)
        heappush(self._waiting, waiter)
        self._serve()
        try:
            await waiter.may.wait()
        except asyncio.CancelledError:
            waiter.gone = True
            if waiter.may.is_set():
                self._give(units)
            raise
        self._on_waited(self._clock.monotonic() - began)

    def _give(self, units: float) -> None:
        """Add to the reserve, serve who waits, and keep no more than this host's part."""
        self._reserve += units
        self._serve()
        if not self._waiting:
            self._reserve = min(self._reserve, self._least)

    def _serve(self) -> None:
        while self._waiting and (self._waiting[0].gone or self._reserve >= self._waiting[0].units):
            first = heappop(self._waiting)
            if not first.gone:
                self._reserve -= first.units
                first.may.set()
        if self._waiting:
            self._wanted.set()

    def _needed(self) -> float | None:
        """What to book: for the first, and for those behind it who fit into a slice with it."""
        total = 0.0
        for waiter in sorted(self._waiting):
            if total and total + waiter.units > self._slice:
                break
            total += 0.0 if waiter.gone else waiter.units
        return max(total - self._reserve, self._least) if total else None
