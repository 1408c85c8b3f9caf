"""The load: cart documents as a shop writes them, and feed pages as the service sends them.

Reproducible by its seed. Five lines per cart, 200 items, a price and a currency on every line (2 % of
the carts mix currencies), one field of the shop's own. The feed has the lines of a cart near each
other, not in a row: documents are shuffled in windows of 2,000.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import msgspec

Document = dict[str, Any]
T = TypeVar("T")

LINES_PER_CART = 5
ITEM_COUNT = 200
MIXED_SHARE = 0.02
SHUFFLE_WINDOW = 2000
DELETED_SHARE = 0.2
CHANGED_SHARE = 0.3
ZIPF_EXPONENT = 1.1
CONTAINER_RID = "Q2FydEJlbmM="
MARK = "mark"
FIRST_TS = 1_767_225_600

_CHANNELS = ("web", "app", "store", "phone")
_CURRENCIES = ("EUR", "USD", "GBP")
_DOCUMENTS_PER_SECOND = 1000


class Shop:
    """Makes documents; every draw comes from one seeded source."""

    def __init__(self, seed: int = 1) -> None:
        self._draw = random.Random(seed)
        self._items = [f"item {number:03d} of the shop" for number in range(ITEM_COUNT)]

    def carts(self, count: int) -> list[Document]:
        """That many lines in carts of five, in feed order; none of them twice."""
        lines: list[Document] = []
        while len(lines) < count:
            lines.extend(self._cart())
        del lines[count:]
        return [line for window in chunks(lines, SHUFFLE_WINDOW) for line in self._shuffled(window)]

    def changed(self, documents: Iterable[Document]) -> list[Document]:
        """The same lines, each with another quantity."""
        return [
            {**line, "quantity": line["quantity"] + self._draw.randint(1, 9)} for line in documents
        ]

    def hot(self, count: int, cart_count: int) -> list[Document]:
        """Changes of few busy carts (Zipf): half new lines, the rest changed and soft-deleted ones."""
        weights = [1 / rank**ZIPF_EXPONENT for rank in range(1, cart_count + 1)]
        names = [self._cart_id() for _ in weights]
        carts = self._draw.choices(names, weights, k=count)
        lines: dict[str, list[Document]] = {name: [] for name in names}
        return [self._touch(cart_id, lines[cart_id]) for cart_id in carts]

    def revisited(self, documents: Iterable[Document]) -> list[Document]:
        """The same lines, cart by cart in another order, mixed like any feed."""
        carts: dict[str, list[Document]] = {}
        for document in documents:
            carts.setdefault(document["cartId"], []).append(document)
        order = list(carts.values())
        self._draw.shuffle(order)
        lines = [line for cart in order for line in cart]
        return [line for window in chunks(lines, SHUFFLE_WINDOW) for line in self._shuffled(window)]

    def shuffle(self, documents: list[Document]) -> None:
        """Bring the documents into another order."""
        self._draw.shuffle(documents)

    def _touch(self, cart_id: str, lines: list[Document]) -> Document:
        kind = self._draw.random()
        if not lines or kind >= DELETED_SHARE + CHANGED_SHARE:
            lines.append(self._line(cart_id, self._draw.choice(_CURRENCIES[:1])))
            return lines[-1]
        at = self._draw.randrange(len(lines))
        if kind < DELETED_SHARE:
            return {**lines.pop(at), "ttl": 30}
        lines[at] = {**lines[at], "quantity": self._draw.randint(1, 20)}
        return lines[at]

    def _cart(self) -> Iterator[Document]:
        cart_id, mixed = self._cart_id(), self._draw.random() < MIXED_SHARE
        for number in range(LINES_PER_CART):
            yield self._line(cart_id, _CURRENCIES[number % len(_CURRENCIES) if mixed else 0])

    def _line(self, cart_id: str, currency: str) -> Document:
        return {
            "id": str(uuid.UUID(int=self._draw.getrandbits(128), version=4)),
            "cartId": cart_id,
            "item": self._draw.choice(self._items),
            "quantity": self._draw.randint(1, 9),
            "price": self._draw.randint(100, 99_999) / 100,
            "currency": currency,
            "channel": self._draw.choice(_CHANNELS),
        }

    def _cart_id(self) -> str:
        return f"cart-{self._draw.getrandbits(48):012x}"

    def _shuffled(self, window: Sequence[Document]) -> list[Document]:
        return self._draw.sample(window, len(window))


class Feed:
    """Gives documents what the service adds: a version, a time, an etag."""

    def __init__(self, first_lsn: int = 1) -> None:
        self._lsn = first_lsn - 1

    def stamp(self, documents: Iterable[Mapping[str, Any]]) -> list[Document]:
        """The documents as a feed delivers them, each with an LSN of its own."""
        return [self._stamped(document) for document in documents]

    def _stamped(self, document: Mapping[str, Any]) -> Document:
        self._lsn += 1
        return {
            **document,
            "_rid": f"Q2FydEJlbmMD{self._lsn:08d}==",
            "_self": f"dbs/Q2FydA==/colls/{CONTAINER_RID}/docs/Q2FydEJlbmMD{self._lsn:08d}==/",
            "_etag": f'"{self._lsn:08x}-0000-0d00-0000-67748580{self._lsn & 0xFFFF:04x}"',
            "_attachments": "attachments/",
            "_ts": FIRST_TS + self._lsn // _DOCUMENTS_PER_SECOND,
            "_lsn": self._lsn,
        }


def page_body(documents: Sequence[Document]) -> bytes:
    """One page of the feed, as sent."""
    page = {"_rid": CONTAINER_RID, "Documents": documents, "_count": len(documents)}
    return msgspec.json.encode(page)


def chunks(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """The values in lists of that size; the last may be shorter."""
    iterator = iter(values)
    while chunk := list(islice(iterator, size)):
        yield chunk
