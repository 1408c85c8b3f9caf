"""What follows the migrations in a large database: beside readers, and again where it was cut short."""

from __future__ import annotations

import psycopg
import pytest

from projector.core.errors import SchemaBusy
from projector.postgres import filling, migrate, schema
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.verification import Verification

BEFORE = "0011"
ROWS = """
SET projector.copied = 'alone';
INSERT INTO projector_g1.cart_items
  (epk, lsn, ts, lineage, deleted, cart_id, id, item, quantity, unit_price, currency, etag)
SELECT n, n, n, 0, n % 7 = 0, 'cart ' || n % 40, n::text, 'Pen', 1, 1,
  CASE n % 3 WHEN 0 THEN 'EUR' END, '' FROM generate_series(1, 400) n"""
TIMES = "SELECT cart_id, first_changed_at, last_changed_at FROM carts.cart_totals ORDER BY 1"
EXPECTED = """
SELECT cart_id, to_timestamp(min(ts)), to_timestamp(max(ts))
FROM projector_g1.cart_items WHERE NOT deleted GROUP BY 1 ORDER BY 1"""


def test_a_view_reads_the_column_only_when_all_carts_have_it(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate.downgrade(database_url, BEFORE)
    monkeypatch.setattr(filling, "CARTS_AT_ONCE", 7)
    monkeypatch.setattr(filling, "LOCK_SECONDS", 0.05)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(ROWS)
        with monkeypatch.context() as interrupted:
            interrupted.setattr(migrate, "fill", lambda _: False)
            assert migrate.upgrade(database_url) == migrate.head()
        assert not schema.look(database_url).filled
        expected = connection.execute(EXPECTED).fetchall()
        assert len(expected) == 40

        with connection.transaction():  # somebody reads, and takes his time
            assert connection.execute(TIMES).fetchall() == expected
            assert not filling.fill(database_url)
        assert connection.execute(TIMES).fetchall() == expected
        assert not schema.look(database_url).filled

        assert migrate.upgrade(database_url) == migrate.head()
        assert schema.look(database_url).filled
        assert connection.execute(TIMES).fetchall() == expected


async def test_what_is_not_filled_yet_is_no_drift(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate.downgrade(database_url, BEFORE)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(ROWS)
        with monkeypatch.context() as interrupted:
            interrupted.setattr(migrate, "fill", lambda _: False)
            migrate.upgrade(database_url)
        async with Connections(ConnectionOptions(url=database_url)) as connections:
            store = Verification(connections, container_rid="any")
            assert (await store.recount(examples=3)).wrong == 0
            migrate.upgrade(database_url)
            assert (await store.recount(examples=3)).wrong == 0
            connection.execute("""
                UPDATE projector_g1.cart_totals SET last_changed_at = NULL
                WHERE cart_id = 'cart 1' AND bucket = 'EUR'""")
            assert (await store.recount(examples=3)).wrong == 1


def test_a_lock_of_somebody_is_named_and_not_waited_for(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate.downgrade(database_url, BEFORE)
    monkeypatch.setattr(filling, "LOCK_SECONDS", 0.05)
    with psycopg.connect(database_url) as connection:
        connection.execute(ROWS)
        connection.commit()
        with monkeypatch.context() as interrupted:
            interrupted.setattr(migrate, "fill", lambda _: False)
            migrate.upgrade(database_url)
        pid = connection.info.backend_pid
        for lock in (
            "SELECT FROM projector_g1.cart_totals FOR UPDATE",
            "LOCK TABLE projector_g1.cart_items IN SHARE UPDATE EXCLUSIVE MODE",  # as VACUUM
            "LOCK TABLE projector_g1.cart_totals IN SHARE UPDATE EXCLUSIVE MODE",
        ):
            connection.execute(lock)
            with pytest.raises(SchemaBusy, match=f"waits for pid {pid} "):
                migrate.upgrade(database_url)
            connection.rollback()
    migrate.upgrade(database_url)
    assert schema.look(database_url).filled


def test_a_host_that_does_not_own_the_tables_leaves_it_to_their_owner(
    database_url: str, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate.downgrade(database_url, BEFORE)
    with monkeypatch.context() as interrupted:
        interrupted.setattr(migrate, "fill", lambda _: False)
        migrate.upgrade(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'hosts'")
        connection.execute(f"GRANT USAGE ON SCHEMA projector TO {role}")
        connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA projector TO {role}")
        hosts = f"postgresql://{role}:hosts@{database_url.split('@', 1)[1]}"
        assert not schema.look(hosts).filled
        assert migrate.upgrade(hosts) == migrate.head()
        assert not schema.look(hosts).filled
    migrate.upgrade(database_url)
    assert schema.look(database_url).filled
