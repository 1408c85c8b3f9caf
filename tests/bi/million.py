"""A database with a million lines, made by the server itself, counted by the projector's own trigger."""

from __future__ import annotations

from typing import Any

import psycopg

LINES, CARTS, ITEMS = 1_000_000, 250_000, 20_000

ROWS = f"""
INSERT INTO projector_g1.cart_items (epk, lsn, ts, lineage, deleted, cart_id, id, item, quantity,
  unit_price, currency, etag)
SELECT 0, n, 1790000000 + n, 0, false, 'cart ' || n % {CARTS}, n::text, 'item ' || n % {ITEMS},
  1 + n % 5, CASE WHEN n % 10 > 0 THEN 9.99 END, CASE WHEN n % 10 > 0 THEN 'EUR' END, n::text
FROM generate_series(1, {LINES}) AS n"""


def million_lines(connection: psycopg.Connection[Any]) -> None:
    """Fills the first generation, which is empty."""
    with connection.transaction():
        connection.execute("SET LOCAL projector.copied = 'alone'")
        connection.execute(ROWS)
    connection.execute("ANALYZE")
