"""How many documents of a batch go into one transaction: all, unless the target cannot do it in time.

A batch that took too long is halved, as often as needed, and grows again while portions are done in a
fraction of the time. A portion that is not the last leaves the position where it is: a replay of it
changes nothing, and what has been written stays. Kept in memory, and may be lost.

What the next batch of a range will probably be like, judged by the last one.

Only speed depends on it: every way of a batch writes the same rows and totals whatever it meets, or
writes nothing and says that another way has to be taken. So hints are kept in memory and may be lost.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace

from projector.core.names import Continuation, Epoch
from projector.projection.writes import Batch

QUICK = 0.25
"""A portion done in this part of the time that it may take: twice as much fits safely."""

UNLIMITED = 100_000
"""More documents than any batch has."""

ATTEMPTS_ALONE = 3
"""A document that was too much so often, alone, is to blame itself."""

REMEMBERED_RANGES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a batch did, in rows and quarantine entries.

    Attributes:
        inserted: rows that were not there before, tombstones included.
        has_entries: the range has quarantine entries now.
        met_rows: the batch was believed to be all new, and was not.
        tick: of the commit, where it left the position; 0 where that is not told.
    """

    upserted: int = 0
    inserted: int = 0
    removed: int = 0
    healed: int = 0
    rejected: int = 0
    has_entries: bool = False
    met_rows: bool = False
    tick: int = 0

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(
            upserted=self.upserted + other.upserted,
            inserted=self.inserted + other.inserted,
            removed=self.removed + other.removed,
            healed=self.healed + other.healed,
            rejected=self.rejected + other.rejected,
            has_entries=self.has_entries or other.has_entries,
            met_rows=self.met_rows or other.met_rows,
            tick=max(self.tick, other.tick),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Remainder:
    """What is left of a batch whose first portions are committed, and what those did."""

    epoch: Epoch
    end: Continuation | None
    batch: Batch
    done: Outcome


@dataclass(slots=True, kw_only=True)
class _Range:
    size: int | None = None
    remainder: Remainder | None = None
    failed_alone: tuple[str, str, int] | None = None
    failures_alone: int = 0


class Work:
    """A batch under way: portions of it are committed one after the other."""

    def __init__(self, known: _Range, *, seconds: float, left: Remainder) -> None:
        """Take what is known of its range, how long a portion may take, and what is to be done."""
        self._known = known
        self._seconds = seconds
        self._start = left
        self._rest: Batch | None = None
        self.portion = left.batch
        """In hand."""
        self.left: Batch | None = left.batch
        """Not committed yet; None: all is."""
        self.done = left.done
        """What the committed portions did."""

    @property
    def ends(self) -> bool:
        """Whether the portion in hand is the last one, which moves the position."""
        return self._rest is None

    def next(self) -> Batch | None:
        """The portion to commit now; None when nothing is left."""
        if self.left is None:
            return None
        size = self._known.size
        if size is None or self.left.size <= size:
            self.portion, self._rest = self.left, None
        else:
            self.portion, self._rest = self.left.divided(size)
        return self.portion

    def did(self, done: Outcome, *, seconds: float) -> None:
        """The portion was committed: the next one may be larger if it was quick."""
        self.done += done
        self.left = rest = self._rest
        known = self._known
        known.remainder = None if rest is None else replace(self._start, batch=rest, done=self.done)
        if known.size is None or self.portion.size < known.size or seconds > self._seconds * QUICK:
            return
        known.size = known.size * 2 if known.size < UNLIMITED else None

    def too_much(self) -> bool:
        """Ask for half of the portion; False when it cannot be divided."""
        self._known.size = max(1, self.portion.size // 2)
        return self.portion.size > 1

    def gives_up(self) -> bool:
        """Whether the one document of the portion was too much time after time, on its own."""
        portion, known = self.portion, self._known
        if portion.size != 1 or not portion.writes or portion.writes[0].deleted:
            return False
        write = portion.writes[0]
        version = write.key, write.id, write.lsn
        known.failures_alone = 1 + known.failures_alone * (known.failed_alone == version)
        known.failed_alone = version
        return known.failures_alone >= ATTEMPTS_ALONE


class Portions:
    """The size of portions and the unfinished batch of each range."""

    def __init__(self, *, seconds: float) -> None:
        """Know nothing; `seconds`: how long a portion may take."""
        self._seconds = seconds
        self._ranges: OrderedDict[int, _Range] = OrderedDict()

    def work(self, range_id: int, epoch: Epoch, batch: Batch, end: Continuation | None) -> Work:
        """What is left of the batch that ends there, if it is the one that was begun; else all."""
        known = self._ranges.setdefault(range_id, _Range())
        self._ranges.move_to_end(range_id)
        if len(self._ranges) > REMEMBERED_RANGES:
            self._ranges.popitem(last=False)
        left, all_of_it = (
            known.remainder,
            Remainder(epoch=epoch, end=end, batch=batch, done=Outcome()),
        )
        if (
            left is None
            or (left.epoch, left.end) != (epoch, end)
            or left.batch.delivered != batch.delivered
        ):
            left = all_of_it
        return Work(known, seconds=self._seconds, left=left)


MOSTLY = 0.5
BULK = 200
"""Fewer rows than this are no bulk load: a wrong guess would cost more than it saves."""

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
