"""Mending what a verify found: by point read, under the version order, beside the owner.

A verdict is written unless the row is newer; the mark, noted before the reads begin, refuses it
when the range was merged, or tombstones of that time are gone. What was written is compared again,
so that only what is right now counts as mended.
Source: docs/explanation/correctness.md, "Repair does not take locks".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from projector.ports.ranges import StoredRange
from projector.ports.rows import DocumentKey, Verdict
from projector.ports.verification import Comparison, Difference, VerifyStore
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
