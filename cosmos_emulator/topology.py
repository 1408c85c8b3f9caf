"""The physical partitions of one container: routing by key, splits, merges and the ranges feed.

The living partitions tile the whole key space at all times. Range ids are never used again; a request to a
range that was split or merged away is refused with 410. Children name all their ancestors, so that a
client which knows any of them can place them.
Source: Cosmos DB REST API, partition key ranges.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from cosmos_emulator.documents import Document
from cosmos_emulator.errors import RANGE_COMPLETING_SPLIT, bad_request, range_gone
from cosmos_emulator.hashing import Hashing
from cosmos_emulator.partition import Partition


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeListing:
    """The partitions that a client does not know yet, and the version it knows afterwards."""

    partitions: Sequence[Partition]
    version: int


class Topology:
    """All living partitions of a container, lowest key first."""

    def __init__(self, *, count: int, default_ttl: int | None, hashing: Hashing) -> None:
        self._default_ttl = default_ttl
        self._hashing = hashing
        self._version = 0
        self._next_id = 0
        self._born: dict[str, int] = {}
        self._completing: dict[str, float] = {}
        self._partitions: list[Partition] = []
        for minimum, maximum in hashing.even_boundaries(count):
            self._add(self._create(minimum, maximum, ()))

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """The living partitions, lowest key first."""
        return tuple(self._partitions)

    def owner_of(self, epk: str) -> Partition:
        """The partition in which a key lies."""
        return self._partitions[bisect_right(self._partitions, epk, key=_minimum) - 1]

    def get(self, range_id: str, now: float) -> Partition:
        """Returns the living partition of that id; 410 for every other id."""
        for partition in self._partitions:
            if partition.range_id == range_id:
                return partition
        if now < self._completing.get(range_id, now):
            raise range_gone(range_id, RANGE_COMPLETING_SPLIT)
        raise range_gone(range_id)

    def overlapping(self, minimum: str, maximum: str) -> list[Partition]:
        """The partitions that hold a part of the range, lowest first."""
        return [p for p in self._partitions if p.minimum < maximum and minimum < p.maximum]

    def listing(self, known_version: int | None) -> RangeListing | None:
        """What is new since a version (None: everything); returns None when nothing is."""
        if known_version == self._version:
            return None
        since = -1 if known_version is None or known_version > self._version else known_version
        fresh = [p for p in self._partitions if self._born[p.range_id] > since]
        return RangeListing(partitions=fresh, version=self._version)

    def set_default_ttl(self, default_ttl: int | None) -> None:
        """Applies another default time to live to all items, old and new."""
        self._default_ttl = default_ttl
        for partition in self._partitions:
            partition.set_default_ttl(default_ttl)

    def split(self, range_id: str, *, now: float, completing_seconds: float = 0) -> list[Partition]:
        """Replaces a partition by two halves of its key range, which inherit its LSN."""
        parent = self.get(range_id, now)
        middle = self._hashing.midpoint(parent.minimum, parent.maximum)
        if middle is None:
            raise bad_request(f"Partition key range {range_id} is too narrow to be split.")
        ancestors = (*parent.ancestors, range_id)
        children = [
            self._create(parent.minimum, middle, ancestors),
            self._create(middle, parent.maximum, ancestors),
        ]
        for child in children:
            mine = child.minimum
            owned = [d for d in parent.all_documents() if mine <= d.epk < child.maximum]
            child.adopt(owned, parent.lsn)
        self._completing[range_id] = now + completing_seconds
        self._replace([parent], children)
        return children

    def merge(self, range_ids: Sequence[str], *, now: float, lsn: int | None = None) -> Partition:
        """Joins neighbours; the child goes on above all their LSNs unless told otherwise.

        With a lower `lsn` the documents are numbered anew from 1 to it, in order of change, as
        after a restore from a backup.
        """
        parents = sorted((self.get(range_id, now) for range_id in range_ids), key=_minimum)
        if len(set(range_ids)) < 2 or not _are_neighbours(parents):  # noqa: PLR2004
            raise bad_request("Only two or more neighbouring partition key ranges can be merged.")
        ancestors = [name for parent in parents for name in (*parent.ancestors, parent.range_id)]
        child = self._create(
            parents[0].minimum, parents[-1].maximum, tuple(dict.fromkeys(ancestors))
        )
        documents = [document for parent in parents for document in parent.all_documents()]
        documents.sort(key=_lsn)
        highest = max(parent.lsn for parent in parents)
        if lsn is not None and documents and lsn < documents[-1].lsn:
            documents = _renumbered(documents, lsn)
        child.adopt(documents, highest if lsn is None else lsn)
        self._replace(parents, [child])
        return child

    def _create(self, minimum: str, maximum: str, ancestors: Sequence[str]) -> Partition:
        range_id = str(self._next_id)
        self._next_id += 1
        return Partition(
            range_id=range_id,
            minimum=minimum,
            maximum=maximum,
            ancestors=ancestors,
            default_ttl=self._default_ttl,
        )

    def _replace(self, old: Sequence[Partition], new: Sequence[Partition]) -> None:
        self._version += 1
        for partition in old:
            self._partitions.remove(partition)
        for partition in new:
            self._add(partition)

    def _add(self, partition: Partition) -> None:
        self._born[partition.range_id] = self._version
        insort(self._partitions, partition, key=_minimum)


def _are_neighbours(partitions: Sequence[Partition]) -> bool:
    return all(left.maximum == right.minimum for left, right in pairwise(partitions))


def _renumbered(documents: Sequence[Document], lsn: int) -> list[Document]:
    count = len(documents)
    if lsn < 1:
        raise bad_request("A range with documents needs an LSN of at least 1.")
    return [item.moved_to(max(1, (rank + 1) * lsn // count)) for rank, item in enumerate(documents)]


def _minimum(partition: Partition) -> str:
    return partition.minimum


def _lsn(document: Document) -> int:
    return document.lsn
