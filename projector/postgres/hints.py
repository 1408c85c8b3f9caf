"""What the next batch of a range will probably be like, judged by the last one.

Only speed depends on it: every way of a batch writes the same rows and totals whatever it meets, or
writes nothing and says that another way has to be taken. So hints are kept in memory and may be lost.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace

from projector.core.names import Epoch

MOSTLY = 0.5
BULK = 200
"""Fewer rows than this are no bulk load: a wrong guess would cost more than it saves."""

REMEMBERED_RANGES = 4096
LONGEST_CAUTION = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchHint:
    """How to go about a batch.

    Attributes:
        skip_stale: most rows are stored already: look before locking them.
        insert_only: all rows are new: copy them in without looking for an older version.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What is remembered of a range: a mistake has to be outweighed by `awaited` bulks of new rows."""

    epoch: Epoch
    hint: BatchHint = field(default_factory=BatchHint)
    caution: int = 0
    awaited: int = 0


def after_batch(known: _Known, facts: BatchFacts, *, bulk: int) -> _Known:
    """What is known after this batch; one without rows tells nothing about rows.

    Each wrong guess doubles the number of bulks of new rows that have to be seen before the next one.
    """
    if not facts.writes:
        hint = replace(known.hint, has_entries=facts.has_entries)
        return replace(known, hint=hint)
    caution, awaited = known.caution, known.awaited
    is_new = facts.inserted == facts.writes >= bulk
    if facts.met_rows:
        caution = awaited = min(LONGEST_CAUTION, max(1, caution * 2))
    elif is_new and known.hint.insert_only:
        caution //= 2
    hint = BatchHint(
        skip_stale=facts.changed < facts.writes * MOSTLY,
        insert_only=is_new and not awaited,
        has_entries=facts.has_entries,
    )
    if is_new and awaited and not facts.met_rows:
        awaited -= 1
    return _Known(epoch=known.epoch, hint=hint, caution=caution, awaited=awaited)


class Hints:
    """The hint of each range under its epoch."""

    def __init__(self, *, bulk: int = BULK) -> None:
        """Know nothing; `bulk`: from so many rows on a batch may be a bulk load."""
        self._bulk = bulk
        self._known: OrderedDict[int, _Known] = OrderedDict()

    def of(self, range_id: int, epoch: Epoch) -> BatchHint:
        """What is known of the range under this epoch."""
        known = self._known.get(range_id)
        return known.hint if known is not None and known.epoch == epoch else BatchHint()

    def learn(self, range_id: int, epoch: Epoch, facts: BatchFacts) -> None:
        """Take note of a committed batch."""
        known = self._known.get(range_id)
        if known is None or known.epoch != epoch:
            known = _Known(epoch=epoch)
        self._known[range_id] = after_batch(known, facts, bulk=self._bulk)
        self._known.move_to_end(range_id)
        if len(self._known) > REMEMBERED_RANGES:
            self._known.popitem(last=False)
