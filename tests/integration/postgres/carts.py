"""Cart writes from a seed, and what the views must say of them: the model of the target.

A version of a document never changes, so whatever is drawn for (key, lsn) is drawn once. The
model keeps the newest version of each key and recounts everything; it knows no deltas.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec
from typing_extensions import override

from projector.core.epk import effective_partition_key, routing_key
from projector.core.names import Continuation, InstanceName, LeaseToken
from projector.core.ranges import FULL_RANGE, FeedRange
from projector.core.start import Position
from projector.ports.feed import Applied, Beginning, Grant, RangeClaim
from projector.postgres.connections import Connections, Session
from projector.postgres.portions import Outcome
from projector.postgres.sink import PostgresSink
from projector.projection.writes import Batch, ProjectedPage, Rejection, RowWrite
from tests.carts import number_of, value_of

RID = "rid1"
NOWHERE = Position(continuation=None, lsn=None)
ITEMS = ("Surface", "Book", "Pen", 'Dock "mini"', "Köder\tx")
CURRENCIES = (None, "EUR", "USD")


def epk_of(cart_id: str) -> int:
    return routing_key(effective_partition_key(cart_id))


def line(
    cart_id: str,
    document_id: str,
    lsn: int,
    *,
    item: str = "Surface",
    quantity: str = "1",
    price: str | None = None,
    currency: str | None = None,
    etag: str | None = None,
    extra: str | None = None,
) -> RowWrite:
    """A good version of a document."""
    return RowWrite(
        key=cart_id,
        id=document_id,
        epk=epk_of(cart_id),
        lsn=lsn,
        ts=1_790_000_000 + lsn,
        etag=f'"{cart_id}-{document_id}-{lsn}"' if etag is None else etag,
        values=(
            item,
            msgspec.Raw(quantity.encode()),
            None if price is None else msgspec.Raw(price.encode()),
            currency,
        ),
        extra=None if extra is None else msgspec.Raw(extra.encode()),
    )


def tombstone(cart_id: str, document_id: str, lsn: int, *, etag: str | None = None) -> RowWrite:
    """A version that removes the row."""
    return RowWrite(
        key=cart_id,
        id=document_id,
        epk=epk_of(cart_id),
        lsn=lsn,
        ts=1_790_000_000 + lsn,
        etag=f'"{cart_id}-{document_id}-{lsn}"' if etag is None else etag,
        deleted=True,
    )


def rejection(cart_id: str, document_id: str, lsn: int, **changes: Any) -> Rejection:
    """A version that is not good."""
    made = Rejection(
        partition_key=msgspec.json.encode(cart_id).decode(),
        id=document_id,
        epk=epk_of(cart_id),
        lsn=lsn,
        ts=1_790_000_000 + lsn,
        etag=f'"{cart_id}-{document_id}-{lsn}"',
        reason="bad_quantity",
        detail="quantity is a string",
        raw=b'{"quantity": "two"}',
        key=cart_id,
    )
    return msgspec.structs.replace(made, **changes)


def page(*writes: RowWrite, rejections: Sequence[Rejection] = ()) -> ProjectedPage:
    """One page made ready."""
    return ProjectedPage(
        writes=writes,
        rejections=tuple(rejections),
        delivered=len(writes) + len(rejections),
        newest_ts=max([*(w.ts for w in writes), *(r.ts for r in rejections)], default=None),
    )


def position(lsn: int) -> Position:
    return Position(continuation=Continuation(f'"{lsn}"'), lsn=lsn)


def claim(
    token: str = "0",
    keys: FeedRange = FULL_RANGE,
    *,
    owner: str = "host-a",
    processor: str = "projector",
    rid: str = RID,
) -> RangeClaim:
    return RangeClaim(
        container_rid=rid,
        processor_name=processor,
        lease_token=LeaseToken(token),
        feed_range=keys,
        owner=InstanceName(owner),
    )


async def begun(sink: PostgresSink, *, mark: int | None = None, **changes: Any) -> Grant:
    """A granted range that reads from the beginning; with a mark it is a replay."""
    grant = await sink.open(claim(**changes))
    return await sink.begin(grant, Beginning(position=NOWHERE, replay_mark_lsn=mark))


class TellingSink(PostgresSink):
    """Tells of its last batch what was done to rows and entries."""

    done = Outcome()

    @override
    def _learn(self, grant: Grant, batch: Batch, done: Outcome) -> None:
        self.done = done
        super()._learn(grant, batch, done)


async def apply(sink: PostgresSink, grant: Grant, *pages: ProjectedPage, at: int = 1) -> Applied:
    return await sink.apply(grant, pages, position(at))


class Shop:
    """Draws versions; the same (key, lsn) is the same document for ever."""

    def __init__(self, seed: int, *, carts: int = 5, documents: int = 4) -> None:
        self.draw = random.Random(seed)
        self._keys = [(f"cart {c}", f"doc {d}") for c in range(carts) for d in range(documents)]
        self._made: dict[tuple[str, str, int], RowWrite] = {}

    def write(self, highest_lsn: int) -> RowWrite:
        """Any version of any document up to that LSN."""
        cart_id, document_id = self.draw.choice(self._keys)
        lsn = self.draw.randint(1, highest_lsn)
        key = (cart_id, document_id, lsn)
        if key not in self._made:
            self._made[key] = self._draw(*key)
        return self._made[key]

    def _draw(self, cart_id: str, document_id: str, lsn: int) -> RowWrite:
        drawn = self._version(cart_id, document_id, lsn)
        # The clock of the service goes back at a failover, so a newer version may be the older one.
        return msgspec.structs.replace(drawn, ts=drawn.ts + self.draw.choice([0, 0, 0, -3, 5]))

    def _version(self, cart_id: str, document_id: str, lsn: int) -> RowWrite:
        if self.draw.random() < 0.25:
            return tombstone(cart_id, document_id, lsn)
        priced = self.draw.random() < 0.8
        return line(
            cart_id,
            document_id,
            lsn,
            item=self.draw.choice(ITEMS),
            quantity=self.draw.choice(["1", "2.50", "0", "-3", "123456789012345678.0123456789"]),
            price=self.draw.choice(["9.99", "0", "0.0000000001"]) if priced else None,
            currency=self.draw.choice(CURRENCIES),
            extra=self.draw.choice([None, '{"note":"a\\n\\"b\\\\"}', '{"n":[1,null]}']),
        )


@dataclass
class Model:
    """The newest version of each document, compared as (lineage, lsn)."""

    newest: dict[tuple[str, str], tuple[tuple[int, int], RowWrite]] = field(default_factory=dict)

    def apply(self, writes: Iterable[RowWrite], *, lineage: int = 0) -> None:
        for write in writes:
            key, version = (write.key, write.id), (lineage, write.lsn)
            if key not in self.newest or version > self.newest[key][0]:
                self.newest[key] = (version, write)

    def live(self) -> list[RowWrite]:
        return [write for _, write in self.newest.values() if not write.deleted]

    def views(self) -> Mapping[str, set[tuple[Any, ...]]]:
        """What each view has to hold."""
        carts: dict[str, list[RowWrite]] = defaultdict(list)
        items: dict[str | None, list[RowWrite]] = defaultdict(list)
        for write in self.live():
            carts[write.key].append(write)
            items[value_of(write, "item")].append(write)
        return {
            "cart_items": {
                (
                    w.key,
                    w.id,
                    value_of(w, "item"),
                    quantity(w),
                    price(w),
                    value_of(w, "currency"),
                    amount(w),
                    w.ts,
                )
                for w in self.live()
            },
            "cart_totals": {(cart_id, *_totals(lines)) for cart_id, lines in carts.items()},
            "cart_amounts": {
                (cart_id, *row) for cart_id, lines in carts.items() for row in _amounts(lines)
            },
            "item_totals": {
                (item, len(lines), sum(map(quantity, lines))) for item, lines in items.items()
            },
        }


def quantity(write: RowWrite) -> Decimal:
    return Decimal(bytes(value_of(write, "quantity")).decode())


def price(write: RowWrite) -> Decimal | None:
    number = number_of(write, "unit_price")
    return None if number is None else Decimal(number.decode())


def amount(write: RowWrite) -> Decimal | None:
    unit_price = price(write)
    return None if unit_price is None else _exact(quantity(write), unit_price)


def _exact(one: Decimal, other: Decimal) -> Decimal:
    left, right = one.as_tuple(), other.as_tuple()
    assert isinstance(left.exponent, int)
    assert isinstance(right.exponent, int)
    product = int(one.scaleb(-left.exponent)) * int(other.scaleb(-right.exponent))
    return Decimal(f"{product}e{left.exponent + right.exponent}")


def _amounts(lines: Sequence[RowWrite]) -> list[tuple[Any, ...]]:
    found: dict[str | None, list[Decimal]] = defaultdict(list)
    for write in lines:
        value = amount(write)
        if value is not None:
            found[value_of(write, "currency")].append(value)
    return [(currency, len(values), total(values)) for currency, values in found.items()]


def _totals(lines: Sequence[RowWrite]) -> tuple[Any, ...]:
    amounts = _amounts(lines)
    currency, total_amount = (amounts[0][0], amounts[0][2]) if len(amounts) == 1 else (None, None)
    times = [write.ts for write in lines]
    total_quantity = total([quantity(write) for write in lines])
    return len(lines), total_quantity, total_amount, currency, min(times), max(times)


def total(values: Sequence[Decimal]) -> Decimal:
    """An exact sum: the context's 28 digits are not enough for products."""
    return sum(values, start=Decimal(0))


VIEWS = {
    "cart_items": "SELECT cart_id, id, item, quantity, unit_price, currency, amount,"
    " extract(epoch FROM changed_at)::bigint FROM carts.cart_items",
    "cart_totals": "SELECT cart_id, line_count, total_quantity, total_amount, currency,"
    " extract(epoch FROM first_changed_at)::bigint, extract(epoch FROM last_changed_at)::bigint"
    " FROM carts.cart_totals",
    "cart_amounts": "SELECT cart_id, currency, priced_line_count, total_amount"
    " FROM carts.cart_amounts",
    "item_totals": "SELECT item, line_count, total_quantity FROM carts.item_totals",
}


async def views(connections: Connections) -> Mapping[str, set[tuple[Any, ...]]]:
    """What each view holds."""
    async with connections.session() as session:
        return {name: set(await rows(session, text)) for name, text in VIEWS.items()}


async def rows(session: Session, text: str, *parameters: Any) -> list[tuple[Any, ...]]:
    return await (await session.execute(text, parameters or None)).fetchall()
