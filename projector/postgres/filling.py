"""What a migration leaves to do in a large database, done beside readers and hosts.

A migration is one transaction, and whatever it locks stays locked to its end. So a column that has to
be filled for every cart is only made there; it is filled here, some thousand carts at a time, each
in a short transaction, while hosts write and people read. Then comes its index (hosts wait while it
is built, readers do not), and last the view that needs both. Until then the view answers as before:
slower, and right. Each step finds what an earlier attempt did, so one that was cut short is taken up again.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import psycopg

from projector.postgres.generation import FIRST_GENERATION, Generation
from projector.postgres.sessions import connected
from projector.postgres.views import CART_TOTALS, COLLATED, view_statement

CARTS_AT_ONCE = 5_000
LOCK_SECONDS = 2

# The view reads the column, so all of it is done. Asked of the catalogue alone, since a host needs no
# right on the views.
FILLED = """
SELECT EXISTS (
  SELECT FROM pg_catalog.pg_depend d
  JOIN pg_catalog.pg_rewrite w ON w.oid = d.objid AND d.classid = 'pg_catalog.pg_rewrite'::regclass
  JOIN pg_catalog.pg_class v ON v.oid = w.ev_class
  JOIN pg_catalog.pg_namespace n ON n.oid = v.relnamespace
  JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
  WHERE n.nspname = 'carts' AND v.relname = 'cart_totals' AND a.attname = 'last_changed_at')"""

OWNS = """
SELECT bool_and(pg_has_role(c.relowner, 'USAGE'))
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE (n.nspname, c.relname) IN ((%s, 'cart_totals'), ('carts', 'cart_totals'))"""

# Rows in the order in which batches lock them. Whoever changes a line fills its bucket, so what was
# committed after this statement began is not overwritten: the row that it waited for has its time. Whoever
# commits later finds this one, and goes on from there.
FILL = """
WITH part AS MATERIALIZED (
  SELECT c.cart_id, c.bucket, (
    SELECT to_timestamp(max(i.ts)) FROM {rows}.cart_items i
    WHERE i.cart_id = c.cart_id AND NOT i.deleted AND c.bucket =
      CASE WHEN i.unit_price IS NULL THEN '' ELSE COALESCE(i.currency, '-') END) AS last_changed_at
  FROM {rows}.cart_totals c
  WHERE (c.cart_id, c.bucket) > (%(cart_id)s, %(bucket)s)
  ORDER BY c.cart_id, c.bucket LIMIT %(limit)s),
filled AS (
  UPDATE {rows}.cart_totals c SET last_changed_at = p.last_changed_at
  FROM part p WHERE c.cart_id = p.cart_id AND c.bucket = p.bucket
    AND c.line_count > 0 AND c.last_changed_at IS NULL)
SELECT cart_id, bucket FROM part ORDER BY cart_id DESC, bucket DESC LIMIT 1"""

# Of constraints that new rows obey already; reads all rows, and nobody waits.
VALIDATE = """
ALTER TABLE {rows}.cart_items
  VALIDATE CONSTRAINT cart_items_quantity, VALIDATE CONSTRAINT cart_items_unit_price"""

INDEX = """
CREATE INDEX IF NOT EXISTS cart_totals_last ON {rows}.cart_totals (last_changed_at)
WHERE last_changed_at IS NOT NULL"""


def is_filled(connection: psycopg.Connection[Any]) -> bool:
    """Whether nothing is left to do."""
    row = connection.execute(FILLED).fetchone()
    return row is not None and bool(row[0])


def fill(url: str, *, generation: Generation = FIRST_GENERATION) -> bool:
    """Do what is left; False when it stays as it is.

    That is when readers of the view would have to wait, and for a host whose role does not own the
    tables: the view answers all the same, and the next `db upgrade` of the owner does it.

    Raises:
        SinkUnavailable: Among others, somebody holds a lock: who waits for it for long makes hosts wait.
    """
    with connected(url, application_name="projector migrate") as connection:
        if is_filled(connection):
            return True
        if not _owns(connection, generation):
            return False
        connection.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'".encode())
        _fill(connection, FILL.replace("{rows}", generation.schema))
        connection.execute(VALIDATE.replace("{rows}", generation.schema).encode())
        with suppress(psycopg.errors.UniqueViolation, psycopg.errors.DuplicateTable):
            # Another process does the same just now, and was faster.
            connection.execute(INDEX.replace("{rows}", generation.schema).encode())
        return _show(connection, view_statement(CART_TOTALS, generation))


def _owns(connection: psycopg.Connection[Any], generation: Generation) -> bool:
    row = connection.execute(OWNS, [generation.schema]).fetchone()
    return row is not None and bool(row[0])


def _fill(connection: psycopg.Connection[Any], statement: str) -> None:
    reached: Any = ("", "")
    while reached is not None:
        place = {"cart_id": reached[0], "bucket": reached[1], "limit": CARTS_AT_ONCE}
        reached = connection.execute(statement.encode(), place).fetchone()


def _show(connection: psycopg.Connection[Any], statement: str) -> bool:
    """Whoever waits for a view makes all later readers wait: so not for long, and again next time."""
    try:
        try:
            connection.execute(statement.encode())
        except psycopg.errors.InvalidTableDefinition:
            # Somebody's own view stands on it: its collations stay (see migration 0012).
            connection.execute(statement.replace(COLLATED, "").encode())
    except psycopg.errors.LockNotAvailable:
        return False
    return True
