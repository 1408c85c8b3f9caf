"""Stops a host whose first documents cannot be the ones that are meant, before it keeps a million.

A container of something else looks like a stream of bad documents, each of which is quarantined as
it should be. Among the first thousand of a copy such a share is no accident, so the batch that would
exceed it is not written, nor any after it. Later on, bad documents are what quarantine is for.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from projector.core.errors import TooManyRejected
from projector.core.names import LeaseToken
from projector.core.source import SourceName
from projector.core.start import StoredPlace
from projector.ports.feed import Applied, Beginning, Grant, Page, RangeClaim, RangeReport
from projector.postgres.sink import PostgresSink
from projector.projection.writes import ProjectedPage

FIRST_DOCUMENTS = 1_000
SHOWN_REASONS = 3


@dataclass(slots=True, kw_only=True)
class Plausibility:
    """Counts the first documents of a copy; those that are stored already count, too."""

    source: SourceName
    limit: float
    good: int
    rejected: int

    @property
    def settled(self) -> bool:
        """Whether enough documents were seen, or nobody wants to know."""
        return self.limit >= 1 or self.good + self.rejected >= FIRST_DOCUMENTS

    def judge(self, pages: Sequence[ProjectedPage]) -> TooManyRejected | None:
        """Why these pages had better not be written."""
        reasons = Counter(str(one.reason) for page in pages for one in page.rejections)
        rejected = self.rejected + reasons.total()
        seen = self.good + self.rejected + _documents(pages)
        if rejected <= self.limit * max(seen, FIRST_DOCUMENTS):
            return None
        told = ", ".join(name for name, _ in reasons.most_common(SHOWN_REASONS))
        return TooManyRejected(
            f"{rejected:,} of the first {seen:,} documents of {self.source} cannot be cart lines"
            f" ({told}): correct PROJECTOR_COSMOS_CONTAINER, pass over what is not meant with"
            " PROJECTOR_ONLY_WHERE or PROJECTOR_ONLY_WITH, or allow it with"
            " PROJECTOR_MAX_REJECTED_SHARE=1"
        )

    def add(self, pages: Sequence[ProjectedPage], *, times: int = 1) -> None:
        """Count them as written; with `times` -1 take that back."""
        rejected = sum(len(page.rejections) for page in pages)
        self.rejected += times * rejected
        self.good += times * max(0, _documents(pages) - rejected)


class PlausibleSink:
    """`Sink` that passes everything on until a batch is not plausible; from then on nothing."""

    def __init__(self, sink: PostgresSink, plausibility: Plausibility) -> None:
        """Watch what goes to that sink."""
        self.sink = sink
        self._plausibility = plausibility
        self._refused = asyncio.Event()
        self._error: TooManyRejected | None = None

    async def stop_when_refused(self, stop: Callable[[], None]) -> None:
        """Ask for a stop once a batch was refused."""
        await self._refused.wait()
        stop()

    def check(self) -> None:
        """Raise TooManyRejected if a batch was refused."""
        if self._error is not None:
            raise self._error

    async def apply(
        self, grant: Grant, pages: Sequence[ProjectedPage], place: StoredPlace
    ) -> Applied:
        """Write pages and their place; see `Sink`.

        Raises:
            TooManyRejected: These, or some before them, cannot be the documents that are meant.
        """
        if not self._plausibility.settled:
            self._error = self._error or self._plausibility.judge(pages)
        if self._error is not None:
            self._refused.set()
        self.check()
        self._plausibility.add(pages)  # before they are: batches of other ranges are under way
        try:
            return await self.sink.apply(grant, pages, place)
        except BaseException:
            self._plausibility.add(pages, times=-1)
            raise

    async def open(self, claim: RangeClaim) -> Grant:
        """Fence the range; see `Sink`."""
        return await self.sink.open(claim)

    async def begin(self, grant: Grant, beginning: Beginning) -> Grant:
        """Commit where the range starts; see `Sink`."""
        return await self.sink.begin(grant, beginning)

    def prepare(self, grant: Grant, page: Page) -> ProjectedPage:
        """Decode a page; see `Sink`."""
        return self.sink.prepare(grant, page)

    async def report(self, reports: Sequence[RangeReport]) -> frozenset[LeaseToken]:
        """Store conditions; see `Sink`."""
        return await self.sink.report(reports)


def _documents(pages: Sequence[ProjectedPage]) -> int:
    """Documents that are meant."""
    return sum(page.delivered - page.filtered for page in pages)
