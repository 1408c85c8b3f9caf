"""Verify: the container and its copy compared both ways, while hosts run.

Each part of the container is scanned by query, not by the feed, so that what the feed left out
shows; every page is compared with rows and quarantine entries in one look-up, and what the scan did
not have is looked for from the other side. A difference counts only when it persists past the
position (`confirm`). Totals are recounted under one snapshot. Memory: two pages and one set
of suspects per part, whatever the size of the container or the number of differences.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from projector.core.errors import FeedRangeGone, RebuildError, SinkUnavailable
from projector.core.pacing import backoff_seconds
from projector.core.ranges import FULL_RANGE, FeedRange
from projector.ports.feed import ChangeSource, Clock, FeedTarget
from projector.ports.points import DocumentScanner, PointReader, ScannedPage
from projector.ports.rows import DriftKind
from projector.ports.verification import Comparison, VerifyStore
from projector.projection.project import Projection
from projector.reconcile.answers import Judge
from projector.reconcile.confirm import Backlog, Confirmer, Suspects
from projector.reconcile.parts import RangeWatch, Waiting, parts_of
from projector.reconcile.reads import PatientReader, PatientScanner, Reads
from projector.reconcile.repair import Repair
from projector.reconcile.report import EXAMPLES, Progress, Tally, VerifyReport
from projector.reconcile.tasks import all_of, both_of

BEGINNINGS = 20
SUSPECTS_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyOptions:
    """How to go about it.

    Attributes:
        page_size: documents asked for per page.
        parts_at_once: parts that are scanned at the same time; each takes a session.
    """

    page_size: int = 1000
    parts_at_once: int = 2
    waiting: Waiting = field(default_factory=Waiting)


class Verifier:
    """Verifies one container against one generation of rows."""

    def __init__(
        self,
        *,
        source: ChangeSource,
        scanner: DocumentScanner,
        reader: PointReader,
        projection: Projection,
        store: VerifyStore,
        clock: Clock,
        draw: Callable[[], float],
        options: VerifyOptions | None = None,
        on_progress: Callable[[Progress], object] = lambda progress: None,
    ) -> None:
        """Take both sides; `draw` gives random numbers in [0, 1) for the jitter of retries."""
        self._options = options or VerifyOptions()
        self._reads = Reads(clock=clock, draw=draw)
        self._source = source
        self._scanner = PatientScanner(scanner, self._reads, max_documents=self._options.page_size)
        judge = Judge(reader=PatientReader(reader, self._reads), projection=projection)
        self._mending = Repair(store=store, judge=judge)
        self._projection = projection
        self._store = store
        self._clock = clock
        self._draw = draw
        self._on_progress = on_progress
        self._progress = Progress(documents=0, expected=0)

    async def verify(self, *, repair: bool = False) -> VerifyReport:
        """Compare everything, and with `repair` mend it.

        1. Totals are recounted. 2. Parts are compared, and mended. 3. Totals are mended, since
        mended rows moved them too. 4. Rows are counted.

        Raises:
            SourceUnavailable, SourceRecreated, SinkUnavailable: It could not be carried through.
            RebuildError: Ranges were split or merged faster than they could be compared.
        """
        before = await self._store.recount(examples=EXAMPLES)
        expected = max(before.rows, await self._scanner.count() or 0)
        self._progress = Progress(documents=0, expected=expected)
        self._on_progress(self._progress)
        tally = await self._compare_all(repair=repair)
        totals_mended = await self._store.mend_totals() if repair else 0
        after = await self._store.recount(examples=EXAMPLES) if repair else before
        wrong = tally.unmended if repair else tally.drift.total()
        return VerifyReport(
            consistent=not wrong and not after.wrong and not tally.pending,
            documents=tally.documents,
            rows=after.rows,
            missing=tally.drift[DriftKind.MISSING],
            extra=tally.drift[DriftKind.EXTRA],
            stale=tally.drift[DriftKind.STALE],
            totals_wrong=before.wrong,
            repaired=tally.repaired + totals_mended,
            pending=tally.pending,
            changing=tally.changing,
            filtered=tally.filtered,
            before_start=tally.before_start,
            examples=tuple(tally.examples),
            totals_examples=before.examples,
            unmended=tuple(tally.unmended),
        )

    async def _compare_all(self, *, repair: bool) -> Tally:
        total = Tally()
        room = asyncio.Semaphore(self._options.parts_at_once)

        async def one(part: FeedTarget) -> None:
            async with room:
                total.add(await self._compare_keys(part.feed_range, repair=repair))

        parts = await self._parts(FULL_RANGE)
        await all_of((one(part) for part in parts), name="verify")
        return total

    async def _parts(self, keys: FeedRange) -> list[FeedTarget]:
        physical = await self._reads.until_done(self._source.physical_ranges)
        return list(parts_of(keys, physical, await self._store.stored_ranges()))

    async def _compare_keys(self, keys: FeedRange, *, repair: bool) -> Tally:
        """Compare all parts of these keys; one that is gone is cut anew and begins anew."""
        total = Tally()
        waiting = await self._parts(keys)
        failures = 0
        while waiting:
            part = waiting.pop(0)
            documents = self._progress.documents
            try:
                total.add(await self._compare_part(part, repair=repair))
            except (FeedRangeGone, SinkUnavailable) as reason:
                failures += 1
                if failures >= BEGINNINGS:
                    if isinstance(reason, SinkUnavailable):
                        raise
                    raise RebuildError(f"{reason}; nothing was decided, verify again") from reason
                await self._clock.sleep(backoff_seconds(failures, draw=self._draw()))
                self._advance(documents - self._progress.documents)
                waiting[:0] = await self._parts(part.feed_range)
        return total

    async def _compare_part(self, part: FeedTarget, *, repair: bool) -> Tally:
        tally = Tally()
        async with self._store.comparison() as comparison:
            confirmer = self._confirmer(part, comparison, tally, repair=repair)
            suspects = Suspects()

            async def take(page: ScannedPage) -> None:
                projected = self._projection.page(page.body, lsn=page.session_lsn or 0)
                found = await comparison.compare_page(projected)
                suspects.add(found, lsn=page.session_lsn, session_token=page.session_token)
                tally.documents += projected.delivered
                tally.filtered += projected.filtered
                self._advance(projected.delivered)
                if len(suspects.keys) >= SUSPECTS_AT_ONCE:
                    await confirmer.confirm(suspects)

            await self._scan(part, take)
            await confirmer.confirm(suspects)
            await self._compare_back(part, comparison, confirmer, suspects)
        return tally

    async def _compare_back(
        self,
        part: FeedTarget,
        comparison: Comparison,
        confirmer: Confirmer,
        suspects: Suspects,
    ) -> None:
        """The other direction: what the tables have and the scan had not."""
        count = await comparison.collect_unseen(part.feed_range)
        for after in range(0, count, SUSPECTS_AT_ONCE):
            keys = await comparison.unseen(after=after, limit=SUSPECTS_AT_ONCE)
            suspects.keys.update(dict.fromkeys(keys))
            await confirmer.confirm(suspects)

    def _confirmer(
        self, part: FeedTarget, comparison: Comparison, tally: Tally, *, repair: bool
    ) -> Confirmer:
        watch = RangeWatch(
            store=self._store,
            keys=part.feed_range,
            clock=self._clock,
            waiting=self._options.waiting,
        )
        backlog = Backlog(
            source=self._source,
            comparison=comparison,
            target=part,
            reads=self._reads,
            page_size=self._options.page_size,
            projection=self._projection,
        )
        return Confirmer(
            comparison=comparison,
            watch=watch,
            backlog=backlog,
            mending=self._mending,
            repair=repair,
            tally=tally,
        )

    async def _scan(
        self, part: FeedTarget, take: Callable[[ScannedPage], Coroutine[Any, Any, None]]
    ) -> None:
        """Take all pages of a part; the next one is on its way while one is compared."""
        page = await self._scanner.scan(part, None)
        while page.next_page is not None:
            coming = self._scanner.scan(part, page.next_page)
            page, _ = await both_of(coming, take(page), name=f"scan:{part.feed_range}")
        await take(page)

    def _advance(self, documents: int) -> None:
        self._progress = Progress(
            documents=self._progress.documents + documents, expected=self._progress.expected
        )
        self._on_progress(self._progress)
