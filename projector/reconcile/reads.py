"""Reads of the container that wait out what passes by itself, and give up on what does not.

A wait that the service asks for is always kept and never counted; an outage is tried again with growing pauses for
about two minutes. Split, merged and recreated containers are for the caller to decide.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from projector.core.errors import (
    FeedError,
    PageTooLarge,
    ProjectorError,
    Throttled,
)
from projector.core.names import Continuation
from projector.core.pacing import PageSize, page_size
from projector.ports.budget import Allowance
from projector.ports.feed import ChangeSource, Clock, FeedTarget, Page
from projector.ports.points import DocumentScanner, PointRead, PointReader, ScannedPage
from projector.processor.waiting import Failed, Patience, is_passing

T = TypeVar("T")
ATTEMPTS = 15


class Reads:
    """Tries one read until it succeeds or has failed too often."""

    def __init__(self, *, clock: Clock, draw: Callable[[], float]) -> None:
        """Wait by this clock, with jitter drawn from [0, 1)."""
        self._patience = Patience(clock=clock, draw=draw, helps=_helps)

    async def until_done(self, read: Callable[[], Awaitable[T]]) -> T:
        """The answer. Raises the error when an outage lasts."""
        outages = 0

        async def count(failed: Failed) -> None:
            nonlocal outages
            outages += not isinstance(failed.error, Throttled)
            if outages >= ATTEMPTS:
                raise failed.error

        return await self._patience.until_done(read, waits=count)


def _helps(error: ProjectorError) -> bool:
    return is_passing(error) and not isinstance(error, PageTooLarge)


class PatientReader:
    """`PointReader` that waits out outages."""

    def __init__(self, reader: PointReader, reads: Reads) -> None:
        """Read through this reader."""
        self._reader = reader
        self._reads = reads

    async def read(
        self, partition_key_json: str, document_id: str, *, session_token: str | None = None
    ) -> PointRead:
        """Read one document; see `PointReader`."""
        return await self._reads.until_done(
            lambda: self._reader.read(partition_key_json, document_id, session_token=session_token)
        )


class PatientScanner:
    """`DocumentScanner` that waits out outages and asks for less when a page is too large."""

    def __init__(self, scanner: DocumentScanner, reads: Reads, *, max_documents: int) -> None:
        """Scan through this scanner, at most so many documents a page."""
        self._scanner = scanner
        self._reads = reads
        self._size: PageSize = page_size(max_documents)

    async def count(self) -> int | None:
        """How many documents there are; None when nobody says. Nothing waits for the answer."""
        try:
            return await self._scanner.count()
        except FeedError:
            return None

    async def scan(self, target: FeedTarget, next_page: str | None) -> ScannedPage:
        """Read one page; see `DocumentScanner`."""
        while True:
            asked = self._size.current
            try:
                page = await self._reads.until_done(
                    lambda asked=asked: self._scanner.scan(  # type: ignore[misc]  # bound per turn
                        target, next_page, max_documents=asked
                    )
                )
            except PageTooLarge:
                if asked == 1:
                    raise
                self._size = self._size.halved()
            else:
                self._size = self._size.recovered()
                return page


class PacedReader:
    """`PointReader` that spends no more than it may."""

    def __init__(self, reader: PointReader, allowance: Allowance) -> None:
        """Read through this reader."""
        self._reader = reader
        self._allowance = allowance

    async def read(
        self, partition_key_json: str, document_id: str, *, session_token: str | None = None
    ) -> PointRead:
        """Read one document; see `PointReader`."""
        async with self._allowance.spending(0, live=False):
            return await self._reader.read(
                partition_key_json, document_id, session_token=session_token
            )


class PacedScanner:
    """`DocumentScanner` that spends no more than it may."""

    def __init__(self, scanner: DocumentScanner, allowance: Allowance) -> None:
        """Scan through this scanner."""
        self._scanner = scanner
        self._allowance = allowance

    async def count(self) -> int | None:
        """See `DocumentScanner`."""
        return await self._scanner.count()

    async def scan(
        self, target: FeedTarget, next_page: str | None, *, max_documents: int
    ) -> ScannedPage:
        """Read one page; see `DocumentScanner`."""
        documents = self._allowance.documents(max_documents, live=False)
        async with self._allowance.spending(documents, live=False):
            return await self._scanner.scan(target, next_page, max_documents=documents)


class PacedFeed:
    """Pages of the feed, for whoever reads a backlog and spends no more than he may."""

    def __init__(self, source: ChangeSource, allowance: Allowance) -> None:
        """Read from this source."""
        self._source = source
        self._allowance = allowance

    async def read_page(
        self, target: FeedTarget, continuation: Continuation | None, *, max_documents: int
    ) -> Page:
        """Read one page; see `ChangeSource`."""
        documents = self._allowance.documents(max_documents, live=False)
        async with self._allowance.spending(documents, live=False) as bill:
            page = await self._source.read_page(target, continuation, max_documents=documents)
            bill.cost(page.request_units, page.document_count or 0)
            return page

    def lsn_of(self, continuation: Continuation) -> int | None:
        """The continuation as a number; see `ChangeSource`."""
        return self._source.lsn_of(continuation)
