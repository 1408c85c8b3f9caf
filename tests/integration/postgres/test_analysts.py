"""What analysts meet in the views: texts that are found, numbers that other programs can hold."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from projector.ports.feed import Grant
from projector.postgres.connections import Connections
from projector.postgres.sink import PostgresSink
from tests.integration.postgres.carts import apply, line, page, tombstone

PRODUCTS = """
SELECT 'Äpfel' COLLATE ucs_basic AS item, 'EUR' COLLATE ucs_basic AS currency, 'a' AS cart_id"""


async def found(connections: Connections, query: str) -> Sequence[Any]:
    async with connections.session() as session:
        return await (await session.execute(query.encode())).fetchall()


@pytest.mark.parametrize(
    "condition",
    ["lower(item) = 'äpfel'", "item ILIKE 'äPFEL'", "item ~* '^äpfel$'", "upper(item) = 'ÄPFEL'"],
)
@pytest.mark.parametrize("view", ["cart_items", "item_totals"])
async def test_letters_of_the_database_are_letters_in_the_views(
    connections: Connections, sink: PostgresSink, view: str, condition: str, grant: Grant
) -> None:
    await apply(sink, grant, page(line("a", "1", 1, item="Äpfel"), line("a", "2", 2, item="Pen")))
    query = f"SELECT item FROM carts.{view} WHERE {condition}"
    assert await found(connections, query) == [("Äpfel",)]


async def test_views_join_with_columns_of_any_collation(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    await apply(sink, grant, page(line("a", "1", 1, item="Äpfel", price="2", currency="EUR")))
    for view, key in (
        ("cart_items", "item"),
        ("item_totals", "item"),
        ("cart_items", "currency"),
        ("cart_totals", "currency"),
        ("cart_amounts", "currency"),
        ("cart_totals", "cart_id"),
    ):
        query = f"SELECT count(*) FROM carts.{view} v JOIN ({PRODUCTS}) p ON p.{key} = v.{key}"
        assert await found(connections, query) == [(1,)], (view, key)


async def test_totals_read_without_the_zeros_of_documents_long_gone(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    fine = line(
        "a", "1", 1, quantity="1.0000000001", price="123456789012345678.0123456789", currency="EUR"
    )
    kept = line("a", "2", 2, quantity="3.0", price="2.50", currency="EUR")
    await apply(sink, grant, page(fine, kept))
    await apply(sink, grant, page(tombstone("a", "1", 3)))
    for query in (
        "SELECT total_quantity, total_amount FROM carts.cart_totals",
        "SELECT 3, total_amount FROM carts.cart_amounts",
        "SELECT total_quantity, 7.5 FROM carts.item_totals",
    ):
        assert [tuple(map(str, row)) for row in await found(connections, query)] == [("3", "7.5")]
    recount = "SELECT sum(quantity), sum(amount) FROM carts.cart_items"
    assert await found(connections, recount) == [(Decimal(3), Decimal("7.5"))]
