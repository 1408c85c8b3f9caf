"""Batches of another projection, by each way: rows, totals by a text, by the day and by the key."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from random import Random
from typing import Any

import psycopg
import pytest

from projector.core.ranges import FeedRange
from projector.ports.feed import Grant
from projector.postgres.columns import columns_of
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.generation import Generation
from projector.postgres.portions import BatchFacts
from projector.postgres.sink import PostgresSink
from projector.postgres.statements import BatchShape, batch_statement, numbered
from projector.projection.definition import Field, Kind
from projector.projection.project import Projection, fold
from projector.projection.writes import ProjectedPage, RowWrite
from tests.integration.postgres.carts import TellingSink, apply, begun
from tests.made import create
from tests.orders import FIRST_ORDERS, ORDER_PROJECTION, ORDERS
from tests.simulation.trade import ORDERS_OF_CUSTOMERS
from tests.unit.projection import documents

QUARTERS = ("", "10", "20", "30", "FF")
NEW = BatchFacts(writes=1, inserted=1, changed=1, has_entries=False, met_rows=False)
UNCHANGED = BatchFacts(writes=1, inserted=0, changed=0, has_entries=False, met_rows=False)
STORED = """
SELECT customer_id, id, status, units, price, weight, placed_at, paid FROM orders.orders"""
TOO_SLOW = """
CREATE FUNCTION public.too_many() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (SELECT count(*) FROM written) > 3 THEN
    RAISE EXCEPTION 'canceling statement due to statement timeout' USING ERRCODE = '57014';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER slow AFTER INSERT ON projector_orders_g1.orders REFERENCING NEW TABLE AS written
FOR EACH STATEMENT EXECUTE FUNCTION public.too_many()"""

EVERY_TABLE = ", ".join(
    map(FIRST_ORDERS.table, [ORDERS.rows, *(total.name for total in ORDERS.totals)])
)

Document = Mapping[str, Any]


@pytest.fixture
async def target(database_url: str) -> AsyncIterator[Connections]:
    """A database with the generation of orders."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        create(connection, FIRST_ORDERS)
    async with Connections(ConnectionOptions(url=database_url, connections=6)) as opened:
        yield opened


class Office:
    """Draws versions of orders, and keeps the newest of each."""

    def __init__(self, seed: int, *, customers: int = 6) -> None:
        self.draw = Random(seed)
        self.newest: dict[tuple[str, str], Document | None] = {}
        self._customers = customers
        self._lsn = 0

    def page(self, size: int, *, new: bool = False) -> ProjectedPage:
        """So many versions, each newer than all before it."""
        return ORDER_PROJECTION.page(documents.page([self._version(new=new) for _ in range(size)]))

    def _version(self, *, new: bool) -> bytes:
        self._lsn += 1
        key = f"customer {self.draw.randrange(self._customers)}"
        document_id = str(self._lsn if new else self.draw.randrange(5))
        order = {"id": document_id, "customerId": key, **ORDERS_OF_CUSTOMERS.line(self.draw)}
        gone = not new and self.draw.random() < 0.3
        self.newest[key, document_id] = None if gone else order
        body = json.dumps({**order, "ttl": 5} if gone else order)[1:-1]
        return documents.finished(body, lsn=self._lsn, ts=1_790_000_000 + self._lsn % 7)

    def rows(self) -> set[tuple[Any, ...]]:
        """What the view holds."""
        return {_row(order) for order in self.newest.values() if order is not None}


def _row(order: Document) -> tuple[Any, ...]:
    weight = order.get("weightKg")
    return (
        order["customerId"], order["id"], order["status"],
        _number(order["units"]), _number(order["unitPrice"]),
        None if weight is None else _number(weight),
        datetime.fromisoformat(order["placedAt"]).astimezone(UTC), order.get("isPaid"),
    )  # fmt: skip


def _number(value: object) -> Decimal:
    return Decimal(str(value))


async def agree(target: Connections, office: Office) -> None:
    found = await target.all_rows(dict, STORED)
    assert {tuple(row.values()) for row in found} == office.rows()
    assert await target.all_rows(dict, ORDERS_OF_CUSTOMERS.wrong_totals) == []


@pytest.mark.parametrize("replaying", [False, True], ids=["live", "replaying"])
@pytest.mark.parametrize("seed", range(2))
async def test_any_history_by_any_way_equals_a_recount(
    target: Connections, returning_old: bool | None, seed: int, replaying: bool
) -> None:
    office = Office(seed)
    grant = await begun(
        PostgresSink(target, generation=FIRST_ORDERS), mark=1000 if replaying else None
    )
    for _ in range(25):
        sink = PostgresSink(target, generation=FIRST_ORDERS, returning_old=returning_old, bulk=1)
        if (lesson := office.draw.choice([None, NEW, UNCHANGED])) is not None:
            sink._hints.learn(grant.range_id, grant.epoch, lesson)
        one = office.page(office.draw.choice([1, 1, 2, 12]), new=office.draw.random() < 0.3)
        await apply(sink, grant, one)
    await agree(target, office)


async def test_copied_orders_are_those_of_the_statement(target: Connections) -> None:
    office = Office(3)
    one = office.page(150, new=True)
    for bulk in (1, 1_000):
        sink = TellingSink(target, generation=FIRST_ORDERS, bulk=bulk)
        grant = await begun(sink)
        sink._hints.learn(grant.range_id, grant.epoch, NEW)
        await apply(sink, grant, one)
        assert (sink.done.inserted, sink.done.met_rows) == (150, False)
        await agree(target, office)
        async with target.session() as session:
            await session.execute(f"TRUNCATE {EVERY_TABLE}".encode())


async def test_a_batch_in_portions_equals_a_recount(target: Connections) -> None:
    async with target.session() as session:
        await session.execute(TOO_SLOW)
    office, sink = Office(4), PostgresSink(target, generation=FIRST_ORDERS)
    grant = await begun(sink)
    for _ in range(3):
        await apply(sink, grant, office.page(20))
    await agree(target, office)


async def test_four_sessions_with_the_same_days_and_statuses_leave_exact_totals(
    target: Connections, returning_old: bool | None
) -> None:
    sink = PostgresSink(target, generation=FIRST_ORDERS, returning_old=returning_old, bulk=30)
    office = Office(5, customers=9)
    grants = [
        await begun(sink, token=str(n), keys=FeedRange(min=low, max=high), mark=1000)
        for n, (low, high) in enumerate(pairwise(QUARTERS))
    ]
    work = {grant.range_id: [office.page(40) for _ in range(8)] for grant in grants}

    async def host(grant: Grant, pages: Sequence[ProjectedPage]) -> None:
        for one in pages:
            await apply(sink, grant, one)

    async with asyncio.TaskGroup() as group:
        for grant in grants:
            group.create_task(host(grant, work[grant.range_id]))
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert await target.all_rows(dict, deadlocks) == [{"deadlocks": 0}]
    await agree(target, office)


async def test_a_batch_probes_one_index_per_row_and_total(
    target: Connections, returning_old: bool | None
) -> None:
    office, sink = Office(6), PostgresSink(target, generation=FIRST_ORDERS)
    grant = await begun(sink)
    await apply(sink, grant, office.page(200))
    for verdict in (False, True):
        shape = BatchShape(
            generation=FIRST_ORDERS,
            returning_old=returning_old is None,
            locked=True,
            heal=True,
            verdict=verdict,
        )
        plan = await plan_of(target, shape, grant, fold([office.page(50)]).writes)
        written = [node for node in nodes(plan) if "Conflict Arbiter Indexes" in node]
        assert [node["Conflict Arbiter Indexes"] for node in written] == [
            ["orders_pkey"],
            ["customer_totals_pkey"],
            ["status_totals_pkey"],
            ["daily_totals_pkey"],
        ]
        read = {node["Relation Name"] for node in nodes(plan) if node["Node Type"] == "Seq Scan"}
        assert read <= {"ranges", "quarantine"}, "the rows and totals are never scanned"


async def plan_of(
    target: Connections, shape: BatchShape, grant: Grant, writes: Sequence[RowWrite]
) -> Mapping[str, Any]:
    statement = numbered(batch_statement(shape))
    parameters = {
        **columns_of(writes, ORDERS),
        "range_id": grant.range_id,
        "lineage": grant.lineage,
        "mark_tick": None,
    }
    async with target.session() as session:
        cursor = psycopg.AsyncRawCursor(session)
        text = f"EXPLAIN (FORMAT JSON) {statement.text}"
        await cursor.execute(text.encode(), statement.arguments(parameters))
        row = await cursor.fetchone()
    assert row is not None
    plan: Mapping[str, Any] = row[0][0]["Plan"]
    return plan


def nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


async def test_any_optional_text_survives_the_copy(database_url: str) -> None:
    note = Field(name="note", column="note", kind=Kind.TEXT, optional=True, comment="A note.")
    noted = Generation(
        definition=replace(ORDERS, schema="noted", fields=(note, *ORDERS.fields)),
        schema="projector_noted",
    )
    with psycopg.connect(database_url, autocommit=True) as connection:
        create(connection, noted)
    order = ORDERS_OF_CUSTOMERS.line(Random(1))
    notes = [None, "\x01", "\\N", "\x01\x02", "tab\tin it", "plain"]
    bodies = [
        json.dumps({**order, "id": str(n), "customerId": "a", "note": text})[1:-1]
        for n, text in enumerate(notes)
    ]
    projection = Projection(noted.definition)
    async with Connections(ConnectionOptions(url=database_url)) as connections:
        sink = TellingSink(connections, generation=noted, bulk=1)
        grant = await begun(sink)
        for body in bodies:  # each in a copy of its own, so that no other text has it escaped
            sink._hints.learn(grant.range_id, grant.epoch, NEW)
            page = projection.page(documents.page([documents.finished(body)]))
            await apply(sink, grant, page)
            assert (sink.done.inserted, sink.done.met_rows) == (1, False)
        found = await connections.all_rows(dict, "SELECT note FROM noted.orders ORDER BY id")
    assert [row["note"] for row in found] == notes
