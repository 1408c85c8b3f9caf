"""A look at the views of schema `carts`, as the demo shows them; nothing is written.

Bounded: each query returns at most `limit` rows, whatever the tables hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from projector.postgres.connections import Connections

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
    return await connections.all_rows(dict, NEWEST_CARTS, [limit])


async def biggest_items(connections: Connections, *, limit: int) -> Sequence[Mapping[str, Any]]:
    """Totals of the items that are most in carts."""
    return await connections.all_rows(dict, BIGGEST_ITEMS, [limit])


async def counts(connections: Connections) -> Mapping[str, Any]:
    """How many carts, lines and pieces there are."""
    return (await connections.all_rows(dict, COUNTS))[0]
