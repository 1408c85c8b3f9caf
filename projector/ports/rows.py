"""What sweep, verify, repair and retry need from the tables; this side knows rows.

Kept apart from `projector.ports.feed`, so that the processor never depends on rows. Implemented by
`projector.postgres`. Verdicts are point reads under the version order: a verdict's version is
(lineage of the range when its read began, session LSN of the answer), and it is applied unless the
stored version is higher.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from projector.ports.feed import Grant
from projector.projection.writes import Rejection, RowWrite


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class DocumentKey:
    """Partition key as JSON text, and id."""

    partition_key: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a point read said of one document.

    `write` is the row to be: live, or a tombstone for an absent, marked or rejected document;
    None when no row of that key can exist. `rejection` is set when the document is not good.
    Both bear the session LSN of the answer as their version.
    """

    key: DocumentKey
    lsn: int
    write: RowWrite | None
    rejection: Rejection | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended:
    """What a set of verdicts changed, in documents."""

    removed: int = 0
    projected: int = 0
    unchanged: int = 0


class SweepStore(Protocol):
    """The storage side of ending a replay."""

    async def mark(self, grant: Grant) -> ReadMark:
        """The state of the granted range, before reads begin. Raises FencedOut."""

    async def sweep_candidates(
        self, grant: Grant, *, after: DocumentKey | None, limit: int
    ) -> Sequence[DocumentKey]:
        """Keys of the range about which its replay and the tables do not agree.

        Live rows and open quarantine entries that it did not see; and documents that it saw and
        that were found absent before. Ordered by key, from behind `after`; empty when there are no more.
        """

    async def apply_verdicts(
        self, grant: Grant, *, mark: ReadMark, verdicts: Sequence[Verdict]
    ) -> Mended:
        """Write verdicts with totals in one transaction under the fence.

        Raises FencedOut, also when the range's lineage is not the mark's any more.
        """

    async def finish_replay(self, grant: Grant, *, swept: Mended | None = None) -> None:
        """Close the open replay of the range, which `swept` is to be told of. Raises FencedOut."""


class DriftKind(StrEnum):
    """How a row and its document differ."""

    MISSING = "missing"
    EXTRA = "extra"
    STALE = "stale"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadMark:
    """The state of a range before point reads begin; their verdicts are good only after it.

    Attributes:
        tick: of the range's last commit.
        at: the target's clock.
    """

    range_id: int
    lineage: int
    tick: int
    at: datetime
