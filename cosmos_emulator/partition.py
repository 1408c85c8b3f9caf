"""One physical partition: its items, and the log of their newest versions in LSN order.

The log holds one entry per item, at its newest version; an older version's slot is emptied when a newer
one is written, a removed item's when it is removed, and empty slots are swept out in bulk. Every
write takes the next LSN, and so does every removal, which leaves nothing in the log. The log is therefore
exactly what a change feed in latest-version mode shows. Invariant: LSNs in the log never descend.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

from cosmos_emulator.documents import Document, ItemKey
from cosmos_emulator.ttl import expires_at

_FEWEST_SLOTS_TO_SWEEP = 1024


class Partition:
    """The items between two effective partition keys."""

    def __init__(
        self,
        *,
        range_id: str,
        minimum: str,
        maximum: str,
        ancestors: Sequence[str] = (),
        default_ttl: int | None = None,
    ) -> None:
        self.range_id = range_id
        self.minimum = minimum
        self.maximum = maximum
        self.ancestors = tuple(ancestors)
        self.lsn = 0
        self.size_bytes = 0
        self._default_ttl = default_ttl
        self._items: dict[ItemKey, Document] = {}
        self._listed: list[Document] | None = None
        self._lsns: list[int] = []
        self._log: list[Document | None] = []
        self._empty_slots = 0
        self._expiries: list[tuple[float, int, Document]] = []

    def __len__(self) -> int:
        return len(self._items)

    @property
    def distinct_keys(self) -> int:
        """How many partition keys have items here."""
        return len({epk for epk, _ in self._items})

    @property
    def next_lsn(self) -> int:
        """The LSN that the next write takes."""
        return self.lsn + 1

    def get(self, key: ItemKey, now: float) -> Document | None:
        """Returns the item, None when there is none or its time is up."""
        document = self._items.get(key)
        if document is None or self._none_expired(now) or self.is_visible(document, now):
            return document
        return None

    def is_visible(self, document: Document, now: float) -> bool:
        """True while the document's time is not up."""
        return now < expires_at(document.ts, document.ttl, self._default_ttl)

    def documents(self, now: float, minimum: str, maximum: str) -> Iterator[Document]:
        """The visible items of a range, oldest item first, as they are now."""
        whole = minimum <= self.minimum and self.maximum <= maximum
        unexpired = self._none_expired(now)
        return (
            document
            for document in self._all()
            if (whole or minimum <= document.epk < maximum)
            and (unexpired or self.is_visible(document, now))
        )

    def _all(self) -> list[Document]:
        """Every item, in a list that stays as it is; the next one is made when something changes."""
        if self._listed is None:
            self._listed = list(self._items.values())
        return self._listed

    def put(self, document: Document) -> None:
        """Stores a version that is newer than all others; its LSN becomes the partition's."""
        previous = self._items.get(document.key)
        if previous is not None:
            self._empty_slot(previous)
            self.size_bytes -= len(previous.body)
        self._items[document.key] = document
        self._listed = None
        self.size_bytes += len(document.body)
        self._append(document)
        self.lsn = document.lsn

    def remove(self, document: Document, lsn: int) -> None:
        """Removes an item; the removal takes `lsn` and shows nothing."""
        del self._items[document.key]
        self._listed = None
        self.size_bytes -= len(document.body)
        self._empty_slot(document)
        self.lsn = lsn

    def purge(self, now: float) -> int:
        """Removes the items whose time is up, one LSN each; returns how many."""
        count = 0
        while self._expiries and self._expiries[0][0] <= now:
            document = heapq.heappop(self._expiries)[2]
            if self._items.get(document.key) is document:
                self.remove(document, self.next_lsn)
                count += 1
        return count

    def set_default_ttl(self, default_ttl: int | None) -> None:
        """Applies another default to the items that are already there."""
        self._default_ttl = default_ttl
        self._rebuild_expiries()

    def adopt(self, documents: Iterable[Document], lsn: int) -> None:
        """Fills a new partition with another's documents, given in any order."""
        ordered = sorted(documents, key=_by_lsn)
        self._items = {item.key: item for item in sorted(ordered, key=_by_number)}
        self._listed = None
        self._log = list(ordered)
        self._lsns = [item.lsn for item in ordered]
        self.size_bytes = sum(len(item.body) for item in ordered)
        self.lsn = lsn
        self._rebuild_expiries()

    def all_documents(self) -> list[Document]:
        """Every stored item, also those whose time is up, in order of change."""
        return [item for item in self._log if item is not None]

    def after(self, lsn: int) -> int:
        """The log slot at which versions above `lsn` begin."""
        return bisect_right(self._lsns, lsn)

    def slots(self) -> Sequence[Document | None]:
        """The log itself, in LSN order; empty slots are None."""
        return self._log

    def hides_nothing(self, now: float, minimum: str, maximum: str) -> bool:
        """True when every log entry lies in the range and none has expired."""
        return minimum <= self.minimum and self.maximum <= maximum and self._none_expired(now)

    def _none_expired(self, now: float) -> bool:
        return not self._expiries or now < self._expiries[0][0]

    def _append(self, document: Document) -> None:
        self._lsns.append(document.lsn)
        self._log.append(document)
        self._watch_expiry(document)
        if len(self._expiries) > 2 * len(self._items) + _FEWEST_SLOTS_TO_SWEEP:
            self._rebuild_expiries()

    def _watch_expiry(self, document: Document) -> None:
        moment = expires_at(document.ts, document.ttl, self._default_ttl)
        if moment != math.inf:
            heapq.heappush(self._expiries, (moment, document.version, document))

    def _rebuild_expiries(self) -> None:
        self._expiries = []
        for document in self._items.values():
            self._watch_expiry(document)

    def _empty_slot(self, document: Document) -> None:
        slot = bisect_left(self._lsns, document.lsn)
        while self._log[slot] is not document:
            slot += 1
        self._log[slot] = None
        self._empty_slots += 1
        if self._empty_slots > _FEWEST_SLOTS_TO_SWEEP and self._empty_slots * 2 > len(self._log):
            self._sweep()

    def _sweep(self) -> None:
        kept = self.all_documents()
        self._log = list(kept)
        self._lsns = [item.lsn for item in kept]
        self._empty_slots = 0


def _by_number(document: Document) -> int:
    return document.number


def _by_lsn(document: Document) -> int:
    return document.lsn
