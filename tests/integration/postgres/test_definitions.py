"""A column and a total more are a change of the definition alone, and everything follows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from projector.ports.rows import DocumentKey, Verdict
from projector.ports.verification import Recount
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.explain import stored_key
from projector.postgres.generation import Generation
from projector.postgres.housekeeping import purge_empty_totals
from projector.postgres.sink import PostgresSink
from projector.postgres.verification import Verification
from projector.postgres.views import views_of
from projector.projection.carts import CARTS
from projector.projection.definition import Field, Group, Kind, Sum, Total
from projector.projection.project import Projection
from projector.projection.writes import ProjectedPage
from tests.integration.postgres.carts import RID, apply, begun
from tests.made import create
from tests.orders import ORDERS
from tests.unit.projection import documents

DISCOUNT = Field(
    name="discount", column="discount", kind=Kind.NUMBER, optional=True, comment="Off the price."
)
BY_CURRENCY = Total(
    name="currency_totals",
    comment="One row per currency.",
    by=(Group(column="currency", of="currency", comment="The currency; NULL when not told."),),
    row_count="line_count",
    row_count_comment="Number of live lines.",
    sums=(Sum(column="total_discount", of="discount", comment="Sum of their discounts."),),
)
DISCOUNTED = Generation(
    definition=replace(
        CARTS,
        schema="discounted",
        fields=(*CARTS.fields, DISCOUNT),
        totals=(*CARTS.totals, BY_CURRENCY),
    ),
    schema="projector_discounted",
)
WRITTEN_AT = 1_763_790_000
PROJECTION = Projection(DISCOUNTED.definition)

WRITTEN = (
    '"id":"1","cartId":"a","quantity":2,"price":"3","currency":"EUR","discount":0.50',
    '"id":"2","cartId":"a","currency":"EUR"',
    '"id":"1","cartId":"b","discount":1,"note":"x"',
)


def page(*members: str, lsn: int = 1) -> ProjectedPage:
    return PROJECTION.page(documents.page([documents.document(one, lsn=lsn) for one in members]))


@pytest.fixture
async def target(database_url: str) -> AsyncIterator[Connections]:
    """A database with the second generation beside the first."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        create(connection, DISCOUNTED)
    async with Connections(ConnectionOptions(url=database_url, connections=4)) as opened:
        yield opened


async def asked(connections: Connections, view: str) -> Sequence[tuple[Any, ...]]:
    rows = await connections.all_rows(dict, f"SELECT * FROM discounted.{view} ORDER BY 1, 2, 3")
    return [tuple(str(value) for value in row.values()) for row in rows]


async def differences(store: Verification, seen: ProjectedPage) -> list[str]:
    async with store.comparison() as comparison:
        return [one.detail for one in await comparison.compare_page(seen)]


async def test_batches_replays_and_deletes_keep_the_new_column_and_total(
    target: Connections, returning_old: bool | None
) -> None:
    sink = PostgresSink(target, generation=DISCOUNTED, returning_old=returning_old)
    verification = Verification(target, container_rid=RID, generation=DISCOUNTED)
    grant = await begun(sink)
    await apply(sink, grant, page(*WRITTEN))
    assert await asked(target, "currency_totals") == [
        ("EUR", "2", "0.5"),
        ("None", "1", "1"),
    ]
    before = await asked(target, "cart_items")
    assert [row[:8] for row in before] == [
        ("a", "1", "Mug", "2", "3", "EUR", "0.50", "6"),
        ("a", "2", "Mug", "1", "None", "EUR", "None", "None"),
        ("b", "1", "Mug", "1", "None", "None", "1", "None"),
    ]
    assert (await apply(sink, grant, page(*WRITTEN))).upserted == 0
    assert await asked(target, "cart_items") == before

    later = page(
        '"id":"1","cartId":"a","quantity":2,"price":"3","currency":"USD","discount":0.25',
        '"id":"1","cartId":"b","ttl":5',
        lsn=2,
    )
    await apply(sink, grant, later)
    assert await asked(target, "currency_totals") == [("EUR", "1", "0"), ("USD", "1", "0.25")]
    assert await asked(target, "cart_amounts") == [("a", "USD", "1", "6")]
    assert (await verification.recount(examples=3)).wrong == 0
    assert await differences(verification, later) == []


async def test_drift_of_the_new_column_and_total_is_told_and_mended(target: Connections) -> None:
    sink = PostgresSink(target, generation=DISCOUNTED)
    verification = Verification(target, container_rid=RID, generation=DISCOUNTED)
    grant = await begun(sink)
    await apply(sink, grant, page(*WRITTEN))
    async with target.session() as session:
        await session.execute(
            "UPDATE projector_discounted.cart_items SET discount = 9 WHERE (cart_id, id) = ('a', '1')"
        )
    assert await differences(verification, page(*WRITTEN)) == ["discount is 9, not 0.50"]
    recount = await verification.recount(examples=3)
    assert recount.examples == ("currency EUR: off by 0 lines, discount -8.50",)

    [place] = await verification.stored_ranges()
    mark = await verification.read_mark(place.range_id)
    assert mark is not None
    seen = page(WRITTEN[0])
    [write] = seen.writes
    verdict = Verdict(key=DocumentKey(partition_key='"a"', id="1"), lsn=write.lsn, write=write)
    assert await verification.repair(place, mark, [verdict]) is not None
    assert await differences(verification, page(*WRITTEN)) == []

    async with target.session() as session:
        await session.execute(
            "UPDATE projector_discounted.currency_totals SET total_discount = 7, line_count = 3"
            " WHERE currency = ''"
        )
    assert (await verification.recount(examples=3)).examples == (
        "currency none: off by 2 lines, discount 6",
        "currency EUR: off by 0 lines, discount -8.50",  # a repair moves it as a batch does
    )
    assert await verification.mend_totals() == 2
    assert (await verification.recount(examples=3)).wrong == 0


async def test_the_last_good_row_of_a_rejected_document_has_the_new_column(
    target: Connections,
) -> None:
    sink = PostgresSink(target, generation=DISCOUNTED)
    grant = await begun(sink)
    await apply(sink, grant, page(*WRITTEN))
    bad = page('"id":"1","cartId":"a","discount":"half"', lsn=2)
    assert [one.reason for one in bad.rejections] == ["bad_discount"]
    await apply(sink, grant, bad)
    [kept] = await target.all_rows(dict, "SELECT reason, key, last_good FROM projector.quarantine")
    assert (kept["reason"], kept["key"]) == ("bad_discount", "a")
    assert kept["last_good"] == {
        "cart_id": "a", "id": "1", "item": "Mug", "quantity": 2, "unit_price": 3,
        "currency": "EUR", "discount": 0.5, "ts": WRITTEN_AT, "etag": kept["last_good"]["etag"],
        "extra": None,
    }  # fmt: skip
    stored = await stored_key(
        target, container_rid=RID, key="a", partition_key_json='"a"', generation=DISCOUNTED
    )
    assert [one.values["discount"] for one in stored.rows] == [None, None]


BARE = replace(
    CARTS, name="bare", schema="bare", fields=(), products=(), totals=(), row_text=(), history=None
)
CURRENCY = CARTS.fields[-1]
PER_CART, PER_ITEM = CARTS.totals
assert PER_CART.bucket is not None
BY_KEY = Group(column="cart_id", of="cart_id", comment="The cart.")
BUCKETS = replace(PER_CART.bucket, view="item_amounts", column="money", row_count="priced_count")
SHAPES = {
    "key and id alone": BARE,
    "one optional field": replace(BARE, fields=(CURRENCY,)),
    "a field of an odd name": replace(BARE, fields=(replace(DISCOUNT, name="100 %s' {off}"),)),
    "a total without sums": replace(
        BARE, fields=(CURRENCY,), totals=(replace(BY_CURRENCY, sums=()),)
    ),
    "a total of the key without buckets": replace(
        BARE,
        fields=CARTS.fields,
        totals=(replace(PER_CART, sums=PER_CART.sums[:1], bucket=None),),
    ),
    "groups of two, one of them the key": replace(
        BARE,
        fields=CARTS.fields,
        totals=(replace(PER_ITEM, by=(BY_KEY, *BY_CURRENCY.by), keeps_last_change=True),),
    ),
    "two with buckets, one of them shared": replace(
        CARTS,
        schema="bare",
        history=None,
        totals=(
            replace(PER_ITEM, name="item_money", sums=PER_CART.sums, bucket=BUCKETS),
            PER_CART,
        ),
    ),
    "orders": replace(ORDERS, schema="bare"),
}


MORE_ORDERS = (
    '"id":"1","customerId":"a","status":"new","units":2,"unitPrice":1.5,"placedAt":"2026-01-01T23:30:00-05:00"',
    '"id":"2","customerId":"a","status":"new","units":1,"unitPrice":4,"placedAt":"2026-01-02T00:00:00Z","isPaid":true,"weightKg":"2.5"',
    '"id":"1","customerId":"b","status":"sent","units":0,"unitPrice":1,"placedAt":"2026-01-01T00:00:00Z"',
)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bulk", [1, 1_000], ids=["copied", "batched"])
async def test_a_definition_of_any_shape_is_kept_counted_and_mended(
    shape: str, bulk: int, database_url: str
) -> None:
    definition = SHAPES[shape]
    generation = Generation(definition=definition, schema="projector_any")
    projection, first = Projection(definition), MORE_ORDERS if shape == "orders" else WRITTEN

    def made(members: Sequence[str], *, lsn: int) -> ProjectedPage:
        return projection.page(
            documents.page([documents.document(one, lsn=lsn) for one in members])
        )

    with psycopg.connect(database_url, autocommit=True) as connection:
        create(connection, generation)
    async with Connections(ConnectionOptions(url=database_url)) as connections:
        sink = PostgresSink(connections, generation=generation, bulk=bulk)
        store = Verification(connections, container_rid=RID, generation=generation)
        grant = await begun(sink)
        assert (await apply(sink, grant, made(first, lsn=1))).upserted == 3
        assert (await apply(sink, grant, made(first, lsn=1))).upserted == 0
        assert (await store.recount(examples=3)) == Recount(rows=3, wrong=0)
        assert await differences(store, made(first, lsn=1)) == []

        later = made([first[1].replace('"new"', '"sent"'), first[2] + ',"ttl":5'], lsn=2)
        await apply(sink, grant, later)
        assert (await store.recount(examples=3)) == Recount(rows=2, wrong=0)
        for view in views_of(generation):
            await connections.all_rows(dict, f"SELECT * FROM bare.{view.name}")
        stored = await stored_key(
            connections, container_rid=RID, key="a", partition_key_json='"a"', generation=generation
        )
        assert [definition.told(row.values) for row in stored.rows]

        for total in definition.totals:
            async with connections.session() as session:
                damage = f"UPDATE projector_any.{total.name} SET {total.row_count} = 7"
                await session.execute(damage.encode())
        wrong = (await store.recount(examples=3)).wrong
        assert (wrong == 0) == (not definition.totals)
        assert await store.mend_totals() == wrong
        assert (await store.recount(examples=3)) == Recount(rows=2, wrong=0)
        await purge_empty_totals(connections, generation=generation)
