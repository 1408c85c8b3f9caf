"""Reads of the container that wait out what passes by itself, and give up on what does not.

A wait that the service asks for is always kept and never counted; an outage is tried again with growing pauses for
about two minutes. Split, merged and recreated containers are for the caller to decide.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from projector.core.errors import (
    CredentialExpired,
    FeedError,
    PageTooLarge,
    SourceUnavailable,
    Throttled,
)
from projector.core.pacing import PageSize, page_size, retry_seconds
from projector.ports.feed import Clock, FeedTarget
from projector.ports.points import DocumentScanner, PointRead, PointReader, ScannedPage

T = TypeVar("T")
ATTEMPTS = 15


class Patience:
    """Tries one read until it succeeds or has failed too often."""

    def __init__(self, *, clock: Clock, draw: Callable[[], float]) -> None:
        """Wait by this clock, with jitter drawn from [0, 1)."""
        self._clock = clock
        self._draw = draw

    async def until_done(self, read: Callable[[], Awaitable[T]]) -> T:
        """The answer. Raises SourceUnavailable when an outage lasts."""
        failures = throttles = 0
        while True:
            try:
                return await read()
            except Throttled as error:
                throttles += 1
                seconds = retry_seconds(error, throttles, draw=self._draw())
            except (SourceUnavailable, CredentialExpired) as error:
                failures += 1
                if failures >= ATTEMPTS:
                    raise
                seconds = retry_seconds(error, failures, draw=self._draw())
            await self._clock.sleep(seconds)


class PatientReader:
    """`PointReader` that waits out outages."""

    def __init__(self, reader: PointReader, patience: Patience) -> None:
        """Read through this reader."""
        self._reader = reader
        self._patience = patience

    async def read(
        self, partition_key_json: str, document_id: str, *, session_token: str | None = None
    ) -> PointRead:
        """Read one document; see `PointReader`."""
        return await self._patience.until_done(
            lambda: self._reader.read(partition_key_json, document_id, session_token=session_token)
        )


class PatientScanner:
    """`DocumentScanner` that waits out outages and asks for less when a page is too large."""

    def __init__(self, scanner: DocumentScanner, patience: Patience, *, max_documents: int) -> None:
        """Scan through this scanner, at most so many documents a page."""
        self._scanner = scanner
        self._patience = patience
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
                page = await self._patience.until_done(
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
