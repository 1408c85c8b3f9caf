"""The target as the processor sees it: PostgreSQL behind `projector.ports.feed.Sink`.

Pages are decoded to rows and rejections by `projector.projection`; a batch is committed by
`BatchWriter` with its position, under the fence. Ending a replay takes point reads of the source:
`projector.reconcile` does it, over `verdicts`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from projector.core.names import LeaseToken
from projector.core.start import StoredPlace
from projector.ports.feed import Applied, Beginning, Grant, Page, RangeClaim, RangeReport
from projector.postgres.batch import BatchWriter
from projector.postgres.connections import Connections
from projector.postgres.generation import FIRST_GENERATION, Generation
from projector.postgres.hints import BULK
from projector.postgres.portions import Batch, Outcome
from projector.postgres.ranges import begin_range, open_range
from projector.postgres.reports import store_reports
from projector.postgres.sweep import VerdictStore
from projector.projection.fold import fold
from projector.projection.project import project_page
from projector.projection.selection import EVERYTHING, Selection
from projector.projection.writes import ProjectedPage


class PostgresSink:
    """Rows, totals and positions of one generation."""

    def __init__(
        self,
        connections: Connections,
        *,
        generation: Generation = FIRST_GENERATION,
        returning_old: bool | None = None,
        bulk: int = BULK,
        selection: Selection = EVERYTHING,
    ) -> None:
        """Write through these connections.

        Args:
            connections: Opened and closed by the caller.
            generation: The generation to write to.
            returning_old: Force one way of telling old images; None: what the server can.
            bulk: From so many rows on a batch of new rows is copied in.
            selection: Which documents are meant.
        """
        self._connections = connections
        self._selection = selection
        self._writer = BatchWriter(
            connections, generation=generation, returning_old=returning_old, bulk=bulk
        )
        self.verdicts = VerdictStore(
            connections, generation=generation, returning_old=returning_old
        )
        """What sweeps write to: `SweepStore` of `projector.ports.rows`."""

    async def open(self, claim: RangeClaim) -> Grant:
        """Fence the range: raise its epoch, retire every overlapping one, tell its place.

        Raises:
            SinkUnavailable, SourceRecreated, ProjectionChanged.
        """
        return await open_range(self._connections, claim, projection=self._selection.text)

    async def begin(self, grant: Grant, beginning: Beginning) -> Grant:
        """Commit where the range starts, with the record of its replay, before any is read.

        Raises:
            FencedOut, SinkUnavailable.
        """
        begun = await begin_range(self._connections, grant, beginning)
        self._writer.begun(begun)
        return begun

    def prepare(self, grant: Grant, page: Page) -> ProjectedPage:
        """Decode a page; an empty one for a 304."""
        if page.body is None:
            return ProjectedPage()
        return project_page(page.body, selection=self._selection)

    async def apply(
        self, grant: Grant, pages: Sequence[ProjectedPage], place: StoredPlace
    ) -> Applied:
        """Write the pages and their place in one transaction under the fence.

        Raises:
            FencedOut, SinkUnavailable.
        """
        folded = fold(pages)
        batch = Batch(
            writes=folded.writes,
            rejections=folded.rejections,
            delivered=folded.delivered,
            newest_ts=folded.newest_ts,
            passed=folded.passed,
        )
        outcome = await self._writer.apply(grant, batch, place)
        return _applied(batch, outcome, filtered=folded.filtered)

    async def report(self, reports: Sequence[RangeReport]) -> frozenset[LeaseToken]:
        """Store the conditions; answer the tokens whose epoch is no longer theirs.

        Raises:
            SinkUnavailable.
        """
        return await store_reports(self._connections, reports)


def _applied(batch: Batch, outcome: Outcome, *, filtered: int) -> Applied:
    changed = outcome.upserted + outcome.removed + outcome.rejected + filtered
    newest = batch.newest_ts
    return Applied(
        delivered=batch.delivered,
        upserted=outcome.upserted,
        removed=outcome.removed,
        unchanged=max(0, batch.delivered - changed),
        rejected=outcome.rejected,
        filtered=filtered,
        newest_time=None if newest is None else datetime.fromtimestamp(newest, UTC),
    )
