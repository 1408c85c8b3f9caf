"""An in-memory container in latest-version mode: partitions, LSNs, splits, merges, restores."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field
from typing import Any

from projector.core.ranges import MAX_EPK, FeedRange
from projector.ports.feed import PhysicalRange
from tests.fakes.clock import FakeClock

_TOP = 0x40 << 120
Key = tuple[str, str]


def epk_of(partition_key: str) -> str:
    """An even spread of keys over the hexadecimal space below "40"."""
    digest = hashlib.sha256(partition_key.encode()).hexdigest().upper()[:32]
    return f"{int(digest[0], 16) & 3:X}{digest[1:]}"


@dataclass(slots=True, kw_only=True)
class Entry:
    lsn: int
    epk: str
    document: dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Partition:
    id: str
    feed_range: FeedRange
    parents: tuple[str, ...] = ()
    lsn: int = 1
    entries: dict[Key, Entry] = field(default_factory=dict)

    @property
    def physical(self) -> PhysicalRange:
        return PhysicalRange(id=self.id, feed_range=self.feed_range, parents=self.parents)


class FakeContainer:
    """Documents are addressed by (cartId, id)."""

    _rids = itertools.count(1)

    def __init__(self, clock: FakeClock, *, partitions: int = 1) -> None:
        self._clock = clock
        self._ids = itertools.count()
        self._etags = itertools.count(1)
        self.partitions: list[Partition] = []
        self.rid = ""
        self.recreate(partitions=partitions)

    def recreate(self, *, partitions: int | None = None) -> None:
        """Another container of the same name, empty."""
        count = partitions or len(self.partitions)
        self.rid = f"rid{next(self._rids)}"
        self._ids = itertools.count()
        bounds = ["", *(f"{0x40 * i // count:02X}" for i in range(1, count)), MAX_EPK]
        self.partitions = [
            Partition(id=str(next(self._ids)), feed_range=FeedRange(min=low, max=high))
            for low, high in itertools.pairwise(bounds)
        ]

    def put(self, cart: str, identity: str = "1", **fields: Any) -> int:
        """Create or replace a document; its LSN."""
        partition = self.partition_of(cart)
        partition.lsn += 1
        document = {
            "id": identity,
            "cartId": cart,
            "item": "Surface",
            "quantity": 1,
            **fields,
            "_rid": self.rid,
            "_etag": f'"{next(self._etags)}"',
            "_ts": int(self._clock.now().timestamp()),
            "_lsn": partition.lsn,
        }
        entry = Entry(lsn=partition.lsn, epk=epk_of(cart), document=document)
        partition.entries[cart, identity] = entry
        return partition.lsn

    def fill(self, count: int, *, prefix: str = "cart") -> None:
        """That many documents in carts of their own."""
        for number in range(count):
            self.put(f"{prefix}-{number}")

    def delete(self, cart: str, identity: str = "1") -> None:
        """Remove outright: the feed never tells."""
        partition = self.partition_of(cart)
        partition.lsn += 1
        del partition.entries[cart, identity]

    def find(self, cart: str, identity: str) -> dict[str, Any] | None:
        """A point read."""
        entry = self.partition_of(cart).entries.get((cart, identity))
        return None if entry is None else entry.document

    def documents(self) -> dict[Key, str]:
        """The etag of every document by its key."""
        return {
            key: entry.document["_etag"]
            for partition in self.partitions
            for key, entry in partition.entries.items()
        }

    def partition_of(self, cart: str) -> Partition:
        epk = epk_of(cart)
        return next(p for p in self.partitions if p.feed_range.contains(epk))

    def partition(self, identity: str) -> Partition | None:
        return next((p for p in self.partitions if p.id == identity), None)

    def split(self, identity: str) -> list[str]:
        """Cut one partition in two; the children's ids."""
        parent = self.partition(identity)
        assert parent is not None
        middle = _middle(parent.feed_range)
        children = [
            self._descend([parent], FeedRange(min=parent.feed_range.min, max=middle)),
            self._descend([parent], FeedRange(min=middle, max=parent.feed_range.max)),
        ]
        self._swap([parent], children)
        return [child.id for child in children]

    def merge(self, first: str, second: str, *, lsn: int | None = None) -> str:
        """Join two neighbours; the child's id."""
        pair = [self.partition(first), self.partition(second)]
        parents = sorted((p for p in pair if p is not None), key=lambda p: p.feed_range)
        assert len(parents) == 2
        child = self._descend(
            parents, FeedRange(min=parents[0].feed_range.min, max=parents[1].feed_range.max)
        )
        if lsn is not None:
            child.lsn = lsn
        self._swap(parents, [child])
        return child.id

    def rewind(self, lsn: int) -> None:
        """Restore all partitions to an earlier state: later changes are gone, LSNs go back."""
        for partition in self.partitions:
            kept = {key: e for key, e in partition.entries.items() if e.lsn <= lsn}
            partition.entries = kept
            partition.lsn = min(partition.lsn, lsn)

    def _descend(self, parents: list[Partition], keys: FeedRange) -> Partition:
        ancestors = [i for parent in parents for i in (*parent.parents, parent.id)]
        return Partition(
            id=str(next(self._ids)),
            feed_range=keys,
            parents=tuple(dict.fromkeys(ancestors)),
            lsn=max(parent.lsn for parent in parents),
            entries={
                key: entry
                for parent in parents
                for key, entry in parent.entries.items()
                if keys.contains(entry.epk)
            },
        )

    def _swap(self, old: list[Partition], new: list[Partition]) -> None:
        rest = [p for p in self.partitions if p not in old]
        self.partitions = sorted(rest + new, key=lambda p: p.feed_range)


def _middle(keys: FeedRange) -> str:
    low = int(keys.min.ljust(32, "0") or "0", 16)
    high = _TOP if keys.max == MAX_EPK else int(keys.max.ljust(32, "0"), 16)
    text = f"{(low + high) // 2:032X}".rstrip("0")
    return text.ljust(2, "0") if len(text) < 2 else text
