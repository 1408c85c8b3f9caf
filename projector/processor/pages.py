"""Pages between reader and applier: at most one batch waits while another is applied.

Back-pressure: the reader asks for room before it reads, so what it reads always fits and
memory does not grow with the backlog. A poll without changes moves the end of what waits.
While the reader catches up, pages are gathered for a moment: large batches cost the target less
per document. Nothing is held back once the reader has come to the end, meets an error or waits.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Generic, TypeVar

from projector.core.start import Position
from projector.ports.feed import Clock
from projector.processor.waiting import pause

P = TypeVar("P")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered(Generic[P]):
    """What one `Sink.apply` gets: pages, oldest first (none: the position moves alone), their end."""

    pages: tuple[P, ...]
    position: Position


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
        self._pages: list[P] = []
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
        return not (self._pages or self._moved or self._in_hand)

    async def room(self, documents: int) -> None:
        """Wait until a page of that many documents fits beside what waits."""
        while self._pages and not self._fits(documents):
            self._gathered.set()
            self._taken.clear()
            await self._taken.wait()

    def put(
        self,
        page: P,
        *,
        position: Position,
        documents: int,
        size_bytes: int,
        more_follows: bool = False,
    ) -> None:
        """Add a page that ends at `position`; `more_follows`: the next one is as good as here."""
        if more_follows:
            self._gathered.clear()
        else:
            self._gathered.set()
        self._pages.append(page)
        self._documents += documents
        self._size_bytes += size_bytes
        self._largest_page_bytes = max(self._largest_page_bytes, size_bytes)
        self.tail = position
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
            if self._pages or self._moved:
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
        gathered = Gathered(pages=tuple(self._pages), position=self.tail)
        self._pages.clear()
        self._documents = self._size_bytes = 0
        self._moved = False
        self._in_hand = True
        self._taken.set()
        return gathered
