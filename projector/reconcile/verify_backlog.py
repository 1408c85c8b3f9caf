"""Which documents the feed has yet to bring, when no host brings them.

Read from the committed place to the end of the feed, at most once over all: what differs and is in
it is pending, what differs and is not was brought already and is wrong. Keys are kept in the
comparison's session, not here. A range that has never begun has everything before it.
"""

from __future__ import annotations

from collections.abc import Sequence

from projector.core.names import Continuation
from projector.ports.feed import ChangeSource, FeedTarget
from projector.ports.rows import DocumentKey
from projector.ports.verification import Comparison, RangePlace
from projector.projection.project import Projection
from projector.reconcile.verify_reads import Reads


class Backlog:
    """The changes of one part behind its committed place."""

    def __init__(
        self,
        *,
        source: ChangeSource,
        comparison: Comparison,
        target: FeedTarget,
        reads: Reads,
        page_size: int,
        projection: Projection,
    ) -> None:
        """Nothing is read before the first question."""
        self._source = source
        self._comparison = comparison
        self._target = target
        self._reads = reads
        self._page_size = page_size
        self._projection = projection
        self._reached: Continuation | None = None

    async def holding(
        self, place: RangePlace | None, keys: Sequence[DocumentKey]
    ) -> frozenset[DocumentKey]:
        """Those of these documents that changed after `place`. Raises FeedRangeGone."""
        if place is None or not place.started or place.continuation is None:
            return frozenset(keys)
        await self._read_on(self._reached or place.continuation)
        return await self._comparison.in_backlog(keys)

    async def _read_on(self, start: Continuation) -> None:
        continuation = start
        while True:
            page = await self._reads.until_done(
                lambda after=continuation: self._source.read_page(  # type: ignore[misc]  # bound per turn
                    self._target, after, max_documents=self._page_size
                )
            )
            continuation = self._reached = page.continuation
            if page.body is None:
                return
            await self._comparison.remember_backlog(self._projection.page(page.body))
