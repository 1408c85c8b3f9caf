"""Mending what a verify found, and retrying what is in quarantine: by point read, beside the owner.

A verdict is written unless the row is newer; the mark, noted before the reads begin, refuses it
when the range was merged, or tombstones of that time are gone. What was written is compared again,
so that only what is right now counts as mended.
Source: docs/explanation/correctness.md, "Repair does not take locks".

Of a quarantined document counts what it is now, never the bytes that were kept: a good one becomes a
row and its entry closes, an absent or marked one closes it, one that is still bad stays, counted once
more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from projector.core.epk import epk_of_json
from projector.core.errors import SinkTooSlow
from projector.ports.ranges import StoredRange
from projector.ports.rows import DocumentKey, Verdict
from projector.ports.verification import Comparison, Difference, VerifyStore
from projector.projection.identity import can_be_asked_for
from projector.reconcile.answers import Answers, Judge, in_halves, read_answers

ATTEMPTS = 5


def is_newer(difference: Difference, stored: StoredRange | None, verdict: Verdict) -> bool:
    """Whether the tables hold a later version than the one read, so that the read decides nothing."""
    if difference.lineage is None or difference.lsn is None or stored is None:
        return False
    return (difference.lineage, difference.lsn) > (stored.lineage, verdict.lsn)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """Writes what the container says of single documents."""

    store: VerifyStore
    judge: Judge

    async def mend(
        self,
        comparison: Comparison,
        stored: StoredRange,
        drift: Sequence[Difference],
        *,
        session_token: str | None,
    ) -> Sequence[Difference]:
        """Mend these documents of one stored range; returns what is still wrong.

        1. The mark. 2. The reads. 3. The verdicts, with totals, in one transaction; again when
        the range changed in between. 4. The comparison.
        """
        before = {one.key: (one.lineage, one.lsn) for one in drift}
        for _ in range(ATTEMPTS):
            answers = await self.write(stored, list(before), session_token=session_token)
            if answers is not None:
                by_key = {verdict.key: verdict for verdict in answers.verdicts}
                left = await comparison.compare(answers.verdicts)
                return [
                    *(one for one in drift if one.key in answers.unread),
                    *(
                        one
                        for one in left
                        if before[one.key] == (one.lineage, one.lsn)
                        or not is_newer(one, stored, by_key[one.key])
                    ),
                ]
        return drift

    async def write(
        self, stored: StoredRange, keys: Sequence[DocumentKey], *, session_token: str | None = None
    ) -> Answers | None:
        """Read and write once; None when the range changed meanwhile, so nothing was written."""
        mark = await self.store.read_mark(stored.range_id)
        if mark is None:
            return None
        answers = await read_answers(self.judge, keys, session_token=session_token)
        done = await in_halves(
            lambda verdicts: self.store.repair(stored, mark, verdicts), answers.verdicts
        )
        if None in done.answers:
            return None
        return answers.without(done.unwritten)


class RetryOutcome(StrEnum):
    """What became of an entry."""

    HEALED = "healed"
    GONE = "gone"
    STILL_REJECTED = "still_rejected"
    UNREADABLE = "unreadable"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """One entry and its outcome; `detail` is for the operator."""

    entry_id: int
    outcome: RetryOutcome
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Retries entries, given as (id, partition key, document id)."""

    store: VerifyStore
    repair: Repair

    async def run(self, entries: Sequence[tuple[int, str, str]]) -> Sequence[Retried]:
        """One outcome per entry, in their order; each is committed by itself."""
        async with self.store.comparison() as comparison:
            return [
                await self._alone(comparison, entry_id, DocumentKey(partition_key=key, id=id_))
                for entry_id, key, id_ in entries
            ]

    async def _alone(self, comparison: Comparison, entry_id: int, key: DocumentKey) -> Retried:
        """One entry, which holds up no other when the target cannot store its document in time."""
        try:
            return await self._one(comparison, entry_id, key)
        except SinkTooSlow as error:
            return Retried(entry_id=entry_id, outcome=RetryOutcome.UNDECIDED, detail=str(error))

    async def _one(self, comparison: Comparison, entry_id: int, key: DocumentKey) -> Retried:
        if not can_be_asked_for(key.partition_key):
            return Retried(
                entry_id=entry_id,
                outcome=RetryOutcome.UNREADABLE,
                detail="its id or partition key is no text to ask for; a newer version heals it,"
                " a replay closes it when it is gone",
            )
        for _ in range(ATTEMPTS):
            stored = self._holder(key, await self.store.stored_ranges())
            if stored is None:
                break
            answers = await self.repair.write(stored, [key])
            if answers is not None and answers.unread:
                return Retried(
                    entry_id=entry_id, outcome=RetryOutcome.UNDECIDED, detail=answers.unread[key]
                )
            if answers is not None:
                return await self._judged(comparison, entry_id, answers.verdicts[0])
        return Retried(
            entry_id=entry_id,
            outcome=RetryOutcome.UNDECIDED,
            detail="its range is not open now; start a host and try again",
        )

    async def _judged(self, comparison: Comparison, entry_id: int, verdict: Verdict) -> Retried:
        if verdict.rejection is not None:
            return Retried(
                entry_id=entry_id,
                outcome=RetryOutcome.STILL_REJECTED,
                detail=verdict.rejection.detail,
            )
        left = await comparison.compare([verdict])
        if left:
            return Retried(entry_id=entry_id, outcome=RetryOutcome.UNDECIDED, detail=left[0].detail)
        if not await comparison.without_entry([verdict.key]):
            return Retried(
                entry_id=entry_id,
                outcome=RetryOutcome.STILL_REJECTED,
                detail="the target refused it again",
            )
        if verdict.write is None or verdict.write.deleted:
            detail = "the document is gone or marked as deleted"
            return Retried(entry_id=entry_id, outcome=RetryOutcome.GONE, detail=detail)
        detail = "the document is good now, its row is back"
        return Retried(entry_id=entry_id, outcome=RetryOutcome.HEALED, detail=detail)

    def _holder(self, key: DocumentKey, stored_ranges: Sequence[StoredRange]) -> StoredRange | None:
        epk = epk_of_json(key.partition_key)
        return next((one for one in stored_ranges if one.feed_range.contains(epk)), None)
