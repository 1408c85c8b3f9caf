"""Views whose columns change their collation are made anew, and nobody loses what was theirs."""

from __future__ import annotations

import psycopg
import pytest

from projector.postgres import migrate

BEFORE = "0011"
ITEM_COLLATIONS = """
SELECT c.relname, k.collname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_collation k ON k.oid = a.attcollation
WHERE c.relnamespace = 'carts'::regnamespace AND a.attname = 'item' ORDER BY 1"""


@pytest.fixture
def older(database_url: str) -> str:
    """A database as the release before left it."""
    migrate.downgrade(database_url, BEFORE)
    return database_url


def test_grants_and_comments_outlive_the_change(older: str) -> None:
    with psycopg.connect(older, autocommit=True) as connection:
        connection.execute("GRANT SELECT ON carts.cart_items TO PUBLIC")
        connection.execute("GRANT SELECT (item) ON carts.item_totals TO pg_monitor")
        connection.execute("COMMENT ON VIEW carts.item_totals IS 'ours, by us'")
    assert migrate.upgrade(older) == migrate.head()
    with psycopg.connect(older) as connection:
        told = connection.execute(
            "SELECT has_table_privilege('pg_read_all_stats', 'carts.cart_items', 'SELECT'),"
            " has_column_privilege('pg_monitor', 'carts.item_totals', 'item', 'SELECT'),"
            " has_column_privilege('pg_monitor', 'carts.item_totals', 'line_count', 'SELECT'),"
            " has_table_privilege('carts_reader', 'carts.cart_totals', 'SELECT'),"
            " obj_description('carts.item_totals'::regclass),"
            " col_description('carts.cart_items'::regclass, 3)"
        ).fetchone()
        assert told == (True, True, False, True, "ours, by us", "Name of the article.")
        collations = connection.execute(ITEM_COLLATIONS).fetchall()
    assert collations == [("cart_items", "default"), ("item_totals", "default")]


def test_a_database_restored_without_grants_and_comments_is_brought_up_to_date(older: str) -> None:
    with psycopg.connect(older, autocommit=True) as connection:
        connection.execute("REVOKE ALL ON ALL TABLES IN SCHEMA carts FROM carts_reader")
        connection.execute("DELETE FROM pg_description WHERE classoid = 'pg_class'::regclass")
    assert migrate.upgrade(older) == migrate.head()


def test_a_view_that_others_stand_on_stays_and_so_do_they(older: str) -> None:
    with psycopg.connect(older, autocommit=True) as connection:
        connection.execute("CREATE VIEW public.mine AS SELECT item, quantity FROM carts.cart_items")
    assert migrate.upgrade(older) == migrate.head()
    with psycopg.connect(older) as connection:
        assert connection.execute("SELECT count(*) FROM public.mine").fetchone() == (0,)
        collations = connection.execute(ITEM_COLLATIONS).fetchall()
    assert collations == [("cart_items", "C"), ("item_totals", "default")]
