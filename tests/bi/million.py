"""A database with a million lines, counted by the projector's own trigger, and a million events of them.

All made by the server itself. The history began thirty days ago; the events of the last day are a thirtieth.
"""

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

EVENTS = f"""
INSERT INTO projector.cart_events (projected_at, old_ts, new_ts, generation, kind, cart_id, id,
  old_item, new_item, old_quantity, new_quantity)
SELECT t, extract(epoch FROM t)::bigint - 60, extract(epoch FROM t)::bigint, 1, 'c',
  'cart ' || n % {CARTS}, n::text, 'item ' || n % {ITEMS}, 'item ' || n % {ITEMS}, 1, 2
FROM generate_series(1, {LINES}) AS n,
  LATERAL (SELECT now() - interval '30 days' * (1 - n / {LINES}.0) AS t) AS at"""

DAYS = f"""
WITH days AS (
  INSERT INTO projector.days (projection, day, ends_at, time_zone, known, taken_at)
  SELECT 'carts', current_date - n, (current_date - n + 1)::timestamptz, 'UTC', true, now()
  FROM generate_series(1, 10) AS n RETURNING day)
INSERT INTO projector.daily_item_totals (day, item, line_count, total_quantity)
SELECT day, 'item ' || n, n, n FROM days, generate_series(0, {ITEMS - 1}) AS n"""
"""Ten days of all items: enough of them to be looked up."""

SPAN = """
INSERT INTO projector.history (projection, generation, began_at, known_from, found)
VALUES ('carts', 1, now() - interval '30 days', now() - interval '30 days', 0)"""


def million_lines(connection: psycopg.Connection[Any]) -> None:
    """Fills the first generation, which is empty."""
    with connection.transaction():
        connection.execute("SET LOCAL projector.copied = 'alone'")
        connection.execute(ROWS)
    connection.execute(EVENTS)
    connection.execute(SPAN)
    connection.execute(DAYS)
    connection.execute("ANALYZE")
