"""Retrying quarantined documents: the container is asked anew, what it says is written.

What counts is the document as it is now, never the bytes that were kept. The answer goes the way of
every point read, under the version order: a good document becomes a row and its entry closes, an
absent or marked one closes it, one that is still bad stays, counted once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from projector.core.epk import epk_of_json
from projector.core.errors import SinkTooSlow
from projector.ports.ranges import StoredRange
from projector.ports.rows import DocumentKey, Verdict
from projector.ports.verification import Comparison, VerifyStore
from projector.projection.identity import can_be_asked_for
from projector.reconcile.repair import ATTEMPTS, Repair


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
