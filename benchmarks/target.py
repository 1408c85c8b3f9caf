"""The PostgreSQL that everything is measured on, and what must be true of it afterwards.

The embedded server with its defaults, but for room: several variants stand side by side, and a
checkpoint in the middle of one of them would be charged to it alone. Durability is never touched.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from projector.postgres.embedded import EmbeddedPostgres
from projector.postgres.migrate import upgrade

SERVER_OPTIONS = {
    "shared_buffers": "2GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "max_connections": "100",
}
SHOWN_OPTIONS = (*SERVER_OPTIONS, "fsync", "synchronous_commit", "full_page_writes", "autovacuum")
TEMPLATE = "bench_template"

CART_DRIFT = """
WITH recount AS (
  SELECT cart_id, CASE WHEN unit_price IS NULL THEN '' ELSE COALESCE(currency, '-') END AS bucket,
    count(*) AS line_count, sum(quantity) AS total_quantity,
    COALESCE(sum(quantity * unit_price), 0) AS total_amount,
    to_timestamp(max(ts)) AS last_changed_at
  FROM {rows}.cart_items WHERE NOT deleted GROUP BY 1, 2)
SELECT count(*) FROM recount r
FULL JOIN (SELECT * FROM {rows}.cart_totals WHERE line_count <> 0) t USING (cart_id, bucket)
WHERE (r.line_count, r.total_quantity, r.total_amount, r.last_changed_at)
  IS DISTINCT FROM (t.line_count, t.total_quantity, t.total_amount, t.last_changed_at)"""

ITEM_DRIFT = """
WITH recount AS (
  SELECT item, count(*) AS line_count, sum(quantity) AS total_quantity
  FROM {rows}.cart_items WHERE NOT deleted GROUP BY 1)
SELECT count(*) FROM recount r
FULL JOIN (SELECT * FROM {rows}.item_totals WHERE line_count <> 0) t USING (item)
WHERE (r.line_count, r.total_quantity) IS DISTINCT FROM (t.line_count, t.total_quantity)"""


class WrongResult(Exception):
    """A variant did not do its work, so its time means nothing."""


class BenchServer:
    """One server for the run, with a migrated template to make databases from."""

    def __init__(self, postgres: EmbeddedPostgres) -> None:
        self._postgres = postgres
        with self._maintenance() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
        upgrade(postgres.url_of(TEMPLATE))

    @property
    def pid(self) -> int:
        """Process id of the postmaster."""
        pid = self._postgres.pid
        if pid is None:
            raise WrongResult("the embedded PostgreSQL has ended")
        return pid

    @contextmanager
    def database(self) -> Iterator[str]:
        """URL of a migrated, empty database that is dropped at the end."""
        name = f"bench_{secrets.token_hex(6)}"
        identifier = sql.Identifier(name)
        with self._maintenance() as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    identifier, sql.Identifier(TEMPLATE)
                )
            )
        try:
            yield self._postgres.url_of(name)
        finally:
            with self._maintenance() as connection:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(identifier))

    def settle(self, url: str, *, checkpoint: bool = True) -> None:
        """Clean up after a load, so that the next measurement does not pay for it."""
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM (ANALYZE)")
            if checkpoint:
                connection.execute("CHECKPOINT")

    def settings(self) -> dict[str, str]:
        """The settings that matter here, as the server tells them."""
        with self._maintenance() as connection:
            found = {"server_version": connection.info.server_version}
            shown = {
                name: connection.execute(sql.SQL("SHOW {}").format(sql.Identifier(name))).fetchone()
                for name in SHOWN_OPTIONS
            }
        return {
            "server_version": str(found["server_version"]),
            **{name: str(row[0]) for name, row in shown.items() if row},
        }

    def _maintenance(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self._postgres.url_of("postgres"), autocommit=True)


@contextmanager
def bench_server() -> Iterator[BenchServer]:
    """Start the server in a folder of its own, remove both at the end."""
    folder = Path(tempfile.mkdtemp(prefix="projector-bench-"))
    try:
        with EmbeddedPostgres(folder / "postgres", options=SERVER_OPTIONS) as postgres:
            yield BenchServer(postgres)
    finally:
        EmbeddedPostgres(folder / "postgres").remove()
        shutil.rmtree(folder, ignore_errors=True)


def check_rows(url: str, table: str, expected: int) -> None:
    """Raise WrongResult unless the table holds that many rows."""
    found = _count(url, f"SELECT count(*) FROM {table}")  # noqa: S608 - our own names
    if found != expected:
        raise WrongResult(f"{table} holds {found:,} rows instead of {expected:,}")


def check_totals(url: str, rows_schema: str = "projector_g1") -> None:
    """Raise WrongResult unless every total equals a recount of the rows."""
    for kind, query in (("cart", CART_DRIFT), ("item", ITEM_DRIFT)):
        wrong = _count(url, query.replace("{rows}", rows_schema))
        if wrong:
            raise WrongResult(f"{wrong:,} {kind} totals differ from a recount")


def _count(url: str, query: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
    return 0 if row is None else int(row[0])
