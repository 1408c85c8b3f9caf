"""Ending a replay: rows and quarantine entries that it did not see are confirmed, then go.

A document that was deleted outright, or expired while nobody read, is in no replay. Its key is a
candidate. So is that of a document which the replay brought though it was found absent before: it
expired under a time to live that was taken back before the service removed it, and is there again with
its old version. A point read decides, under the version order, so the sweep may run beside the live
reader, a repair or a retry, in any order. Nothing is removed on inference alone. A crash at any
step leaves the replay open, and the next owner sweeps again.

Memory: one page of candidates. Source: docs/explanation/deletes-and-ttl.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import structlog

from projector.core.errors import SourceUnavailable
from projector.ports.feed import Grant
from projector.ports.rows import DocumentKey, Mended, SweepStore
from projector.reconcile.answers import Judge, in_halves, read_answers

CANDIDATES_PER_STEP = 500
GIVES_UP_AFTER = 5
REPLAY_SWEPT = "replay_swept"
SWEEP_LEFT_UNREAD = "sweep_left_unread"

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Sweeper:
    """Confirms candidates by point reads and writes the verdicts."""

    def __init__(
        self,
        *,
        store: SweepStore,
        judge: Judge,
        on_removed: Callable[[int], object] = lambda rows: None,
    ) -> None:
        self._on_removed = on_removed
        self._store = store
        self._judge = judge
        self._failures: Counter[tuple[int, DocumentKey]] = Counter()

    async def sweep(self, grant: Grant, *, session_token: str | None) -> Mended:
        """Sweep the granted range and close its replay.

        `session_token` is that of the range's last page: no answer may be older.

        Steps, in this order:
            1. the mark, before any read begins;
            2. a page of candidates, a point read each;
            3. the verdicts, in one transaction under the fence; repeated until none is left;
            4. the replay is closed, unless a document could not be read: all others are decided by
               then, and the next sweep asks again. One that is not read time after time keeps its
               row or entry, and holds up the replay no more.

        Raises: FencedOut, SinkUnavailable, SourceUnavailable, Throttled, SourceRecreated.
        """
        removed = projected = unchanged = 0
        after: DocumentKey | None = None
        unread: dict[DocumentKey, str] = {}
        while True:
            mark = await self._store.mark(grant)
            keys = await self._store.sweep_candidates(grant, after=after, limit=CANDIDATES_PER_STEP)
            if not keys:
                break
            answers = await read_answers(self._judge, keys, session_token=session_token)
            written = await in_halves(
                lambda verdicts, mark=mark: self._store.apply_verdicts(  # type: ignore[misc]  # bound per turn
                    grant, mark=mark, verdicts=verdicts
                ),
                answers.verdicts,
            )
            unread.update(answers.without(written.unwritten).unread)
            removed += (gone := sum(done.removed for done in written.answers))
            self._on_removed(gone)
            projected += sum(done.projected for done in written.answers)
            unchanged += sum(done.unchanged for done in written.answers)
            after = keys[-1]
        self._leave(grant, unread)
        done = Mended(removed=removed, projected=projected, unchanged=unchanged)
        await self._store.finish_replay(grant, swept=done)
        log.info(REPLAY_SWEPT, lease=grant.claim.lease_token, removed=removed, projected=projected)
        return done

    def _leave(self, grant: Grant, unread: dict[DocumentKey, str]) -> None:
        """Give up on documents that were never read. Raises SourceUnavailable when there is hope."""
        self._failures.update((grant.range_id, key) for key in unread)
        for key, reason in unread.items():
            if self._failures[grant.range_id, key] < GIVES_UP_AFTER:
                raise SourceUnavailable(
                    f"a document about which its replay left a doubt was not decided: {reason}"
                )
        for key, reason in unread.items():
            log.warning(
                SWEEP_LEFT_UNREAD, partition_key=key.partition_key, id=key.id, reason=reason
            )
        for range_id, key in list(self._failures):
            if range_id == grant.range_id:
                del self._failures[range_id, key]
