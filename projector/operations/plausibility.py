"""Stops a host whose first documents cannot be the ones that are meant, before it keeps a million.

A container of something else looks like a stream of bad documents, each of which is quarantined as
it should be. Among the first thousand of a copy such a share is no accident, so the batch that would
exceed it is not written, nor any after it. Later on, bad documents are what quarantine is for.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from projector.core.errors import TooManyRejected
from projector.core.names import SourceName
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
    _refused: asyncio.Event = field(default_factory=asyncio.Event)
    _error: TooManyRejected | None = None

    @property
    def decided(self) -> bool:
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

    @contextmanager
    def admitted(self, pages: Sequence[ProjectedPage]) -> Iterator[None]:
        """Count them while they are written; refuse what is not plausible, and all that follows.

        Raises:
            TooManyRejected: These, or some before them, cannot be the documents that are meant.
        """
        if not self.decided:
            self._error = self._error or self.judge(pages)
        if self._error is not None:
            self._refused.set()
        self.check()
        self.add(pages)  # before they are written: batches of other ranges are under way
        try:
            yield
        except BaseException:
            self.add(pages, times=-1)
            raise

    async def stop_when_refused(self, stop: Callable[[], None]) -> None:
        """Ask for a stop once a batch was refused."""
        await self._refused.wait()
        stop()

    def check(self) -> None:
        """Raise TooManyRejected if a batch was refused."""
        if self._error is not None:
            raise self._error


def _documents(pages: Sequence[ProjectedPage]) -> int:
    """Documents that are meant."""
    return sum(page.delivered - page.filtered for page in pages)
