"""What the next batch of a range will probably be like, judged by the last one.

Only speed depends on it: every kind of batch statement writes the same rows and totals whatever it
meets, or says that another kind has to be taken. So hints are kept in memory and may be lost.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from projector.core.names import Epoch

MOSTLY = 0.5
BULK = 200
"""Fewer rows than this are no bulk load: a wrong guess would cost more than it saves."""

REMEMBERED_RANGES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchHint:
    """How to go about a batch.

    Attributes:
        skip_stale: most rows are stored already: look before locking them.
        insert_only: all rows are new: insert without looking for an older version.
        has_entries: the range has quarantine entries: take the longer way at once.
    """

    skip_stale: bool = False
    insert_only: bool = False
    has_entries: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchFacts:
    """What a batch turned out to be; `met_rows`: it was not all new, though hinted so."""

    writes: int
    inserted: int
    changed: int
    has_entries: bool
    met_rows: bool


def next_hint(facts: BatchFacts, previous: BatchHint, *, may_insert_only: bool) -> BatchHint:
    """The hint for the batch after this one; a batch without rows tells nothing about rows."""
    if not facts.writes:
        return BatchHint(
            skip_stale=previous.skip_stale,
            insert_only=previous.insert_only,
            has_entries=facts.has_entries,
        )
    return BatchHint(
        skip_stale=facts.changed < facts.writes * MOSTLY,
        insert_only=may_insert_only and facts.inserted == facts.writes >= BULK,
        has_entries=facts.has_entries,
    )


class Hints:
    """The hint of each range; a range that once met a row is not guessed to be new again."""

    def __init__(self) -> None:
        """Know nothing."""
        self._known: OrderedDict[int, tuple[Epoch, BatchHint, bool]] = OrderedDict()

    def of(self, range_id: int, epoch: Epoch) -> BatchHint:
        """What is known of the range under this epoch."""
        known = self._known.get(range_id)
        return known[1] if known is not None and known[0] == epoch else BatchHint()

    def learn(self, range_id: int, epoch: Epoch, facts: BatchFacts) -> None:
        """Take note of a committed batch."""
        previous = self._known.get(range_id, (epoch, BatchHint(), True))
        if previous[0] != epoch:
            previous = (epoch, BatchHint(), True)
        may_insert_only = previous[2] and not facts.met_rows
        hint = next_hint(facts, previous[1], may_insert_only=may_insert_only)
        self._known[range_id] = (epoch, hint, may_insert_only)
        self._known.move_to_end(range_id)
        if len(self._known) > REMEMBERED_RANGES:
            self._known.popitem(last=False)
