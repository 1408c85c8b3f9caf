"""What the projection calls good, the database takes: nothing is left for it to refuse."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from typing import Any

import msgspec
import psycopg
import pytest

from projector.ports.feed import Beginning
from projector.postgres.sink import PostgresSink
from projector.projection.extra import FEW_NAMES, MAX_EXTRA_BYTES
from projector.projection.values import MAX_JSONB_DIGITS
from projector.projection.writes import ProjectedPage, RowWrite
from tests.carts import number_of, project_document, project_page, value_of
from tests.contract.sink import NOWHERE, claim, position
from tests.fuzz.documents import members
from tests.fuzz.inputs import damaged
from tests.unit.projection.documents import document, finished, page
from tests.unit.projection.test_documents_reference import CASES
from tests.unit.projection.test_extra import names

FUZZED = 3_000
MANY = 200


def odd_documents() -> list[bytes]:
    """The documents of the reference page and many that nobody would write."""
    rng = random.Random(1)
    fuzzed = [members(rng) for _ in range(FUZZED)]
    fuzzed += [damaged(rng, raw) for raw in fuzzed[: FUZZED // 3]]
    return [raw for _, raw, _ in CASES] + [finished(raw) for raw in fuzzed]


def apart(found: ProjectedPage) -> ProjectedPage:
    """The same writes, each with a key of its own, so that none hides another."""
    writes = [
        msgspec.structs.replace(write, key=f"cart {number}", id=str(number))
        for number, write in enumerate(found.writes)
    ]
    return msgspec.structs.replace(found, writes=tuple(writes))


@pytest.mark.postgres
async def test_database_takes_all_that_is_good_and_keeps_it_exactly(
    sink: PostgresSink, database_url: str
) -> None:
    grant = await sink.begin(await sink.open(claim()), Beginning(position=NOWHERE))
    found = apart(project_page(page(odd_documents())))
    live = {write.id: write for write in found.writes if not write.deleted}

    await sink.apply(grant, [found], position(9))

    with psycopg.connect(database_url) as connection:
        refused = connection.execute(
            "SELECT detail, raw FROM projector.quarantine WHERE reason = 'refused_by_target'"
        ).fetchall()
        rows = connection.execute(
            "SELECT id, item, quantity::text, unit_price::text, currency, extra::text"
            " FROM carts.cart_items"
        ).fetchall()
    assert refused == []
    assert len(live) > MANY
    assert {row[0] for row in rows} == set(live)
    for number, *values in rows:
        assert values_of(*values) == values_of_write(live[number])


def values_of(
    item: str, quantity: str, price: str | None, currency: str | None, extra: str | None
) -> tuple[Any, ...]:
    """A stored line, numbers exact."""
    amount = None if price is None else Decimal(price)
    return item, Decimal(quantity), amount, currency, exact(extra or "{}")


def values_of_write(write: RowWrite) -> tuple[Any, ...]:
    """The same of what was written."""
    numbers = number_of(write, "quantity"), number_of(write, "unit_price")
    texts = [None if x is None else x.decode() for x in numbers]
    extra = None if write.extra is None else bytes(write.extra).decode()
    return values_of(
        value_of(write, "item"), texts[0] or "", texts[1], value_of(write, "currency"), extra
    )


def exact(text: str) -> object:
    """A JSON object with exact numbers."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


async def test_the_server_sorts_names_into_the_order_that_they_are_sent_in(
    database_url: str,
) -> None:
    """What is in order already costs one pass; in another order made for it the sort never ended."""
    write = project_document(document(json.dumps(dict.fromkeys(names(FEW_NAMES), 1))[1:-1])).write
    assert write is not None
    extra = bytes(write.extra or b"").decode()
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        cursor = await connection.execute("SELECT jsonb_object_keys(%s::jsonb)", [extra])
        assert [row[0] for row in await cursor.fetchall()] == list(json.loads(extra))


async def test_the_largest_other_fields_are_read_and_dumped(
    sink: PostgresSink, database_url: str
) -> None:
    grant = await sink.begin(await sink.open(claim()), Beginning(position=NOWHERE))
    many = MAX_EXTRA_BYTES // MAX_JSONB_DIGITS - 100
    numbers = ",".join([f"1e{MAX_JSONB_DIGITS - 1}"] * many)
    await sink.apply(grant, [project_page(page([document(f'"n": [{numbers}]')]))], position(9))
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        row = await (await connection.execute("SELECT extra FROM carts.cart_items")).fetchone()
        assert row is not None
        assert row[0]["n"] == [10 ** (MAX_JSONB_DIGITS - 1)] * many
        dump = "COPY projector_g1.cart_items TO STDOUT"
        async with connection.cursor() as cursor, cursor.copy(dump) as copy:
            assert sum([len(block) async for block in copy]) > many * MAX_JSONB_DIGITS
