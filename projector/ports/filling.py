"""The first load of a generation: its parts, and what the storage does for them.

A part is a feed range that one process loads at a time. Each batch of rows commits with the place of its
part, under the part's epoch: whoever is killed loses no part and doubles nothing, and whoever was taken for
dead commits no more. When all parts are loaded, what can be built once from the rows is built, step by step;
whoever comes first does the next step. Implemented by `projector.postgres`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from projector.core.lease import Lease
from projector.core.start import Position
from projector.projection.writes import Rejection, RowWrite


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part that this process holds.

    Attributes:
        epoch: of this holding; a newer one fences it out.
        lease: the keys, named as the lease that will follow the feed of them; without a bookmark.
        lineage: of its rows: how often the part was begun anew.
        anchor: where the source stood before the part was read first; None: nobody has looked yet.
        place: where to go on: a continuation of the feed, or the next page of a scan. None: the start.
        batches: written since the part was cut; tells a commit that was not confirmed from none.
    """

    part_id: int
    epoch: int
    lease: Lease
    lineage: int = 0
    anchor: Position | None = None
    place: str | None = None
    batches: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one page of a part brings.

    Attributes:
        writes: live rows alone, keys may not repeat.
        place: where to go on after it; `last`: the part ends here.
        documents: in the page, good or bad. `newest_ts`: highest `_ts` among them, unix seconds.
    """

    writes: Sequence[RowWrite] = ()
    rejections: Sequence[Rejection] = ()
    place: str | None = None
    last: bool = False
    documents: int = 0
    newest_ts: int | None = None
    request_units: float = 0.0


class PartStore(Protocol):
    """Parts as the target keeps them. Every method raises SinkUnavailable; those with a part FencedOut."""

    async def cut(self, leases: Sequence[Lease], *, expected: int | None) -> None:
        """Make these the parts, unless there are some; `expected` documents in all, None: unknown.

        Raises: RebuildError: there are some, of a container that was there before this one.
        """

    async def claim(self) -> Part | None:
        """Hold a part that nobody holds; None when there is none."""

    async def left(self) -> int:
        """How many parts are not loaded."""

    async def anchor(self, part: Part, position: Position) -> Part:
        """Note where the source stands, before the part is read."""

    async def write(self, part: Part, load: Load) -> Part:
        """Commit what a page brought, and the place after it, in one transaction. Once only."""

    async def begin_anew(self, part: Part, *, range_id: str | None) -> Part:
        """Forget anchor and place; rows of the lineages before count no more.

        `range_id`: the physical partition that its LSNs are of from now on; None: as before.
        """

    async def replace(self, part: Part, children: Sequence[Lease], *, anew: bool) -> None:
        """The part was split or merged away: these go on from its place, or `anew` from the start."""

    async def hold(self, part: Part, *, error: str | None) -> None:
        """Go on holding the part, though nothing was written; `error`: why."""

    async def release(self, part: Part, *, error: str | None) -> None:
        """Hold it no longer. A part that somebody else has by now is fine."""


class FinishStep(StrEnum):
    """What is built from the rows, in this order; each is a transaction that is done once."""

    KEY = "key"
    """Rows of lineages before go, and so does the older one of two of a key; the primary key."""

    TOTALS = "totals"
    """Counted from the rows, with their keys."""

    REST = "rest"
    """Indexes, what counts rows that are copied in later, statistics."""

    PLACE = "place"
    """The ranges, each at the anchor of its part: hosts go on from there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """All parts are loaded; `bookmarks` are the leases that hosts go on with."""

    documents: int
    request_units: float
    bookmarks: Sequence[Lease]


class NotLoaded(Exception):
    """Parts are missing, or not loaded any more: PostgreSQL failed over without its last commits."""


class Finishing(Protocol):
    """What is built once from the rows."""

    async def step(self, step: FinishStep) -> bool:
        """Do it, unless it was done; False: another process is at it. Raises SinkUnavailable, NotLoaded."""

    async def waits(self, error: str) -> None:
        """Tell whoever looks why a step is not done, until one is. Raises SinkUnavailable."""

    async def filled(self) -> Filled:
        """What was loaded. Raises SinkUnavailable."""
