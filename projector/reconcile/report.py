"""What a verify counts and tells. Values only.

Drift is what still differed after the tables had every chance to follow; `pending` differs because
the tables have not got there, and nobody brings them there: no drift, but not equal either.
`before_start` differs because the tables were told not to ask, and `changing` was newer than each
answer, turn after turn. Neither of these two makes a copy inconsistent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from projector.ports.rows import DriftKind
from projector.ports.verification import Difference

EXAMPLES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a verify is: documents compared so far, and of how many.

    `expected` is what the service and the tables said before; it may be less than there is.
    """

    documents: int
    expected: int


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts of one part of the container, thrown away when the part has to begin anew."""

    documents: int = 0
    filtered: int = 0
    drift: Counter[DriftKind] = field(default_factory=Counter)
    pending: int = 0
    changing: int = 0
    before_start: int = 0
    repaired: int = 0
    examples: list[Difference] = field(default_factory=list)
    unmended: list[Difference] = field(default_factory=list)

    def add_drift(self, found: Sequence[Difference]) -> None:
        """Count confirmed differences, and keep the first ones."""
        self.drift.update(one.kind for one in found)
        self.examples += found[: max(0, EXAMPLES - len(self.examples))]

    def add_unmended(self, left: Sequence[Difference]) -> None:
        """Keep the first of those that could not be mended."""
        self.unmended += left[: max(0, EXAMPLES - len(self.unmended))]

    def add(self, other: Tally) -> None:
        """Add the counts of another part."""
        self.documents += other.documents
        self.filtered += other.filtered
        self.drift.update(other.drift)
        self.pending += other.pending
        self.changing += other.changing
        self.before_start += other.before_start
        self.repaired += other.repaired
        self.examples += other.examples[: max(0, EXAMPLES - len(self.examples))]
        self.add_unmended(other.unmended)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """The outcome.

    Attributes:
        consistent: nothing differs, or everything that differed was mended, and nothing is pending.
        documents, rows: documents of the container, live rows of the copy.
        missing, extra, stale: confirmed differences of rows and quarantine entries.
        totals_wrong: totals that were not what the rows say.
        repaired: rows, entries and totals that were mended.
        pending: differences that the feed has yet to bring, so they are no drift.
        changing: documents that changed at every look, with rows that were ahead of it.
        before_start: documents older than START_FROM, left out as was asked.
        filtered: those of `documents` that are not meant.
        examples, unmended: the first differences, and the first that could not be mended.
    """

    consistent: bool
    documents: int
    rows: int
    missing: int
    extra: int
    stale: int
    totals_wrong: int
    repaired: int
    pending: int
    changing: int
    before_start: int
    filtered: int
    examples: tuple[Difference, ...]
    totals_examples: tuple[str, ...]
    unmended: tuple[Difference, ...]

    def drift(self) -> dict[str, int]:
        """What was wrong when it was looked at, by its kind."""
        return {
            "missing": self.missing,
            "extra": self.extra,
            "stale": self.stale,
            "totals_wrong": self.totals_wrong,
        }

    @property
    def drift_left(self) -> int:
        """Rows, entries and totals that are wrong still."""
        return max(0, sum(self.drift().values()) - self.repaired)

    def told(self, noun: str) -> Sequence[str]:
        """The first documents and totals that differ, and how, a line each; `noun` names a key."""
        lines = [
            f"{one.kind}: document {one.key.id} in {noun} {one.key.partition_key}: {one.detail}"
            for one in self.examples
        ]
        return [*lines, *(f"total: {text}" for text in self.totals_examples)]

    def counts(self) -> dict[str, Any]:
        """What is worth keeping of it."""
        kept = asdict(self)
        for name in ("examples", "totals_examples", "unmended"):
            del kept[name]
        return {
            **kept,
            "drift_left": self.drift_left,
            "examples": [one.detail for one in self.examples],
        }
