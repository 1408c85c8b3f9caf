"""What verify, repair and retry need from the tables; see `ports.rows` for verdicts.

A comparison holds one session of the target for one part of the container: what it has seen is
kept there, in tables of that session, so it costs no memory here and nothing is left behind by a
crash. Implemented by `projector.postgres`; errors are those of `projector.core.errors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from projector.core.ranges import FeedRange
from projector.ports.ranges import StoredRange
from projector.ports.rows import DocumentKey, DriftKind, Mended, ReadMark, Verdict
from projector.projection.writes import ProjectedPage


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One document and what the tables hold instead.

    Attributes:
        detail: how they differ, in words, bounded.
        lineage, lsn: version of the row or entry; None when there is none.
    """

    key: DocumentKey
    kind: DriftKind
    detail: str
    lineage: int | None = None
    lsn: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recount:
    """Totals against a count of the rows, under one snapshot each.

    Attributes:
        rows: live rows.
        wrong: totals that are not what the rows say, those of carts and of items.
        examples: the first of them in words.
    """

    rows: int
    wrong: int
    examples: tuple[str, ...] = ()


class Comparison(Protocol):
    """One part of the container against the tables."""

    async def compare_page(self, page: ProjectedPage) -> Sequence[Difference]:
        """Remember the page's documents as seen; tell which the tables hold otherwise."""

    async def compare(self, verdicts: Sequence[Verdict]) -> Sequence[Difference]:
        """Tell which of these documents the tables hold otherwise; at most one per key."""

    async def without_entry(self, keys: Sequence[DocumentKey]) -> Sequence[DocumentKey]:
        """Those of these rejected documents that are not in quarantine."""

    async def collect_unseen(self, feed_range: FeedRange) -> int:
        """Find live rows and entries of the range that no page had; returns how many."""

    async def unseen(self, *, after: int, limit: int) -> Sequence[DocumentKey]:
        """The next of them, from behind the first `after`."""

    async def remember_backlog(self, page: ProjectedPage) -> None:
        """Note documents that the feed has yet to bring to the tables."""

    async def in_backlog(self, keys: Sequence[DocumentKey]) -> frozenset[DocumentKey]:
        """Those of these documents that were noted so."""


class VerifyStore(Protocol):
    """The tables, for verify, repair and retry."""

    async def stored_ranges(self) -> Sequence[StoredRange]:
        """The live stored ranges, lowest first."""

    def comparison(self) -> AbstractAsyncContextManager[Comparison]:
        """A comparison that has seen nothing yet."""

    async def read_mark(self, range_id: int) -> ReadMark | None:
        """What to note before point reads; None when the range is not live any more."""

    async def repair(
        self, stored: StoredRange, mark: ReadMark, verdicts: Sequence[Verdict]
    ) -> Mended | None:
        """Write verdicts beside the owner of the range; None: it changed, read again."""

    async def recount(self, *, examples: int) -> Recount:
        """Count live rows and compare all totals with them."""

    async def mend_totals(self) -> int:
        """Move wrong totals by what they are wrong by, beside live batches; returns how many."""
