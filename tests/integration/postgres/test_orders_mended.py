"""What reads, compares and mends knows no column of carts by heart: orders go the same ways."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest

from projector.ports.feed import Beginning, Grant
from projector.ports.rows import DocumentKey, Verdict
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.quarantine import list_entries
from projector.postgres.sink import PostgresSink
from projector.postgres.verification import Verification
from projector.projection.writes import ProjectedPage
from tests.integration.postgres.carts import NOWHERE, RID, apply, begun
from tests.made import create
from tests.orders import FIRST_ORDERS, ORDER_PROJECTION
from tests.unit.projection import documents

FIRST = (
    '"id":"1","customerId":"a","status":"new","units":2,"unitPrice":1.5,"weightKg":"2.50",'
    '"placedAt":"2026-01-01T23:30:00-05:00","isPaid":true,"note":"x"'
)
SECOND = (
    '"id":"2","customerId":"a","status":"sent","units":1,"unitPrice":4,'
    '"placedAt":"2026-01-01T00:00:00Z"'
)
DAMAGE = """
UPDATE projector_orders_g1.orders SET status = 'lost', units = 9, price = 7, weight = NULL,
  placed_at = '2020-02-02T02:02:02Z', paid = NULL, extra = NULL WHERE id = '1'"""
TOLD = (
    "status is lost, not new; units is 9, not 2; unitPrice is 7, not 1.5; weightKg is absent, not 2.50;"
    " placedAt is 2020-02-02 02:02:02+00, not 2026-01-02 04:30:00+00; isPaid is absent, not true;"
    " other fields differ"
)


def page(*members: str, lsn: int = 1) -> ProjectedPage:
    made = [
        documents.document(one, without=("cartId", "item", "quantity"), lsn=lsn) for one in members
    ]
    return ORDER_PROJECTION.page(documents.page(made))


@pytest.fixture
async def target(database_url: str) -> AsyncIterator[Connections]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        create(connection, FIRST_ORDERS)
    async with Connections(ConnectionOptions(url=database_url, connections=4)) as opened:
        yield opened


@pytest.fixture
def orders(target: Connections) -> PostgresSink:
    return PostgresSink(target, generation=FIRST_ORDERS)


@pytest.fixture
def verification(target: Connections) -> Verification:
    return Verification(target, container_rid=RID, generation=FIRST_ORDERS)


async def begun_with_both(sink: PostgresSink) -> Grant:
    grant = await begun(sink)
    await apply(sink, grant, page(FIRST, SECOND))
    return grant


async def test_days_are_those_of_utc_and_values_keep_their_types(
    target: Connections, orders: PostgresSink
) -> None:
    await begun_with_both(orders)
    days = "SELECT day::text, order_count, value::text FROM orders.daily_totals ORDER BY 1"
    assert [tuple(row.values()) for row in await target.all_rows(dict, days)] == [
        ("2026-01-01", 1, "4"),
        ("2026-01-02", 1, "3"),
    ]
    whole = "SELECT order_count, weight::text, last_changed_at > '2020-01-01Z' AS later FROM orders.customer_totals"
    assert await target.all_rows(dict, whole) == [
        {"order_count": 2, "weight": "2.5", "later": True}
    ]
    one = "SELECT paid, value::text, extra FROM orders.orders ORDER BY id"
    assert await target.all_rows(dict, one) == [
        {"paid": True, "value": "3.0", "extra": {"note": "x"}},
        {"paid": None, "value": "4", "extra": {}},
    ]


async def test_each_kind_of_value_is_compared_told_and_repaired(
    target: Connections, orders: PostgresSink, verification: Verification
) -> None:
    await begun_with_both(orders)
    seen = page(FIRST, SECOND)
    async with target.session() as session:
        await session.execute(DAMAGE)
    async with verification.comparison() as comparison:
        assert [one.detail for one in await comparison.compare_page(seen)] == [TOLD]
        [stored] = await verification.stored_ranges()
        mark = await verification.read_mark(stored.range_id)
        assert mark is not None
        key = DocumentKey(partition_key='"a"', id="1")
        verdict = Verdict(key=key, lsn=1, write=seen.writes[0])
        assert await verification.repair(stored, mark, [verdict]) is not None
        assert await comparison.compare_page(seen) == []
    assert (await verification.recount(examples=1)).wrong == 5
    assert await verification.mend_totals() == 5
    assert (await verification.recount(examples=1)).wrong == 0


async def test_a_rejected_order_goes_into_quarantine_with_its_last_good_row_and_heals(
    target: Connections, orders: PostgresSink, verification: Verification
) -> None:
    grant = await begun_with_both(orders)
    await apply(orders, grant, page(FIRST.replace('"2026', '"once 2026'), lsn=2))
    [entry] = await list_entries(target)
    assert (entry.key, entry.document_id, entry.reason) == ("a", "1", "bad_placed_at")
    [kept] = await target.all_rows(dict, "SELECT last_good FROM projector.quarantine")
    assert kept["last_good"]["placed_at"] == "2026-01-02T04:30:00+00:00"
    assert kept["last_good"]["paid"] is True
    assert (await verification.recount(examples=1)).rows == 1
    await apply(orders, grant, page(FIRST, lsn=3))
    assert await list_entries(target) == []
    assert (await verification.recount(examples=1)).wrong == 0


async def test_what_a_replay_did_not_bring_is_swept(
    orders: PostgresSink, verification: Verification
) -> None:
    grant = await begun_with_both(orders)
    grant = await orders.begin(grant, Beginning(position=NOWHERE, replay_mark_lsn=9))
    await apply(orders, grant, page(FIRST))
    missing = DocumentKey(partition_key='"a"', id="2")
    assert await orders.verdicts.sweep_candidates(grant, after=None, limit=9) == [missing]
    [gone] = page('"id":"2","customerId":"a","ttl":5', lsn=9).writes
    mark = await orders.verdicts.mark(grant)
    verdict = Verdict(key=missing, lsn=9, write=gone)
    settled = await orders.verdicts.apply_verdicts(grant, mark=mark, verdicts=[verdict])
    assert settled.removed == 1
    await orders.verdicts.finish_replay(grant)
    recount = await verification.recount(examples=1)
    assert (recount.rows, recount.wrong) == (1, 0)
