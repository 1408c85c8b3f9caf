"""A look at the views of schema `carts`, as the demo shows them; nothing is written.

Bounded: each query returns at most `limit` rows, whatever the tables hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.rows import dict_row

from projector.postgres.connections import Connections, Session

NEWEST_CARTS = """
SELECT cart_id, line_count, total_quantity, total_amount, currency
FROM carts.cart_totals
ORDER BY last_changed_at DESC, cart_id
LIMIT %s
"""

BIGGEST_ITEMS = """
SELECT item, line_count, total_quantity
FROM carts.item_totals
ORDER BY total_quantity DESC, item
LIMIT %s
"""

COUNTS = """
SELECT count(*) AS cart_count,
       COALESCE(sum(line_count), 0)::bigint AS line_count,
       COALESCE(sum(total_quantity), 0) AS total_quantity
FROM carts.cart_totals
"""


async def newest_carts(connections: Connections, *, limit: int) -> Sequence[Mapping[str, Any]]:
    """Totals of the carts that changed last, newest first."""
    async with connections.session() as session:
        return await _rows(session, NEWEST_CARTS, limit)


async def biggest_items(connections: Connections, *, limit: int) -> Sequence[Mapping[str, Any]]:
    """Totals of the items that are most in carts."""
    async with connections.session() as session:
        return await _rows(session, BIGGEST_ITEMS, limit)


async def counts(connections: Connections) -> Mapping[str, Any]:
    """How many carts, lines and pieces there are."""
    async with connections.session() as session:
        return (await _rows(session, COUNTS))[0]


async def _rows(session: Session, query: str, *parameters: object) -> Sequence[Mapping[str, Any]]:
    async with session.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, parameters)
        return await cursor.fetchall()
