"""What people built on the views survives a switch, and what would not is told before."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest

from projector.core.errors import RebuildError, SinkUnavailable
from projector.postgres import pointing, retiring, switching
from projector.postgres.connections import Connections
from projector.postgres.generation import FIRST_GENERATION
from projector.projection.carts import CARTS
from projector.projection.definition import Kind
from tests.integration.postgres.generations import (
    COLUMNS,
    NOTED,
    ROWS,
    WHO,
    WITHOUT_CURRENCY,
    beside,
    fed,
    made,
    one,
    promoted,
)

BUILT = """
CREATE SCHEMA bi;
CREATE VIEW bi.by_currency AS SELECT currency, sum(total_amount) AS amount FROM carts.cart_amounts GROUP BY 1;
CREATE MATERIALIZED VIEW bi.items AS SELECT item, line_count FROM carts.item_totals;
CREATE FUNCTION bi.lines() RETURNS bigint BEGIN ATOMIC SELECT sum(line_count) FROM carts.cart_totals; END;
CREATE VIEW bi.invoked WITH (security_invoker = true) AS SELECT cart_id FROM carts.cart_items;
ALTER VIEW carts.cart_totals SET (security_invoker = true, security_barrier = true);
COMMENT ON VIEW carts.item_totals IS 'ours';
COMMENT ON COLUMN carts.item_totals.item IS 'the article, as we say';
GRANT USAGE ON SCHEMA carts, projector_g1, projector TO {role};
GRANT SELECT ON carts.cart_totals TO {role} WITH GRANT OPTION;
GRANT SELECT (item) ON carts.item_totals TO {role};
GRANT SELECT ON projector_g1.cart_totals, projector_g1.cart_items TO {role}
"""


async def test_what_people_built_on_the_views_survives(
    connections: Connections, database_url: str, sql: psycopg.Connection, role: str
) -> None:
    sql.execute(f"CREATE ROLE {role}")
    sql.execute(BUILT.format(role=role).encode())
    await beside(connections, database_url, NOTED, lines=2)
    assert await pointing.would_break(connections, NOTED) == []
    await promoted(connections, 2)
    assert one(sql, "SELECT bi.lines()") == 2
    sql.execute("REFRESH MATERIALIZED VIEW bi.items")
    assert one(sql, "SELECT line_count FROM bi.items") == 2
    options = "SELECT reloptions FROM pg_class WHERE oid = 'carts.cart_totals'::regclass"
    assert one(sql, options) == ["security_invoker=true", "security_barrier=true"]
    assert one(sql, "SELECT obj_description('carts.item_totals'::regclass)") == "ours"
    assert one(sql, "SELECT col_description('carts.item_totals'::regclass, 1)") == (
        "the article, as we say"
    )
    columns = one(sql, COLUMNS)
    assert isinstance(columns, list)
    assert columns[:4] == ["cart_id", "id", "item", "quantity"]
    assert columns[-1] == "note"
    sql.execute(f"SET ROLE {role}")
    assert one(sql, "SELECT line_count FROM carts.cart_totals") == 2
    assert one(sql, "SELECT item FROM carts.item_totals") == "Surface"
    sql.execute("RESET ROLE")
    await switching.rollback(connections, keep_seconds=60, who=WHO)
    assert one(sql, "SELECT bi.lines()") == 1
    assert one(sql, "SELECT count(*) FROM bi.invoked") == 1
    assert one(sql, "SELECT note FROM carts.cart_items") is None  # something stands on that view
    assert "carts_reader=r" in str(one(sql, f"SELECT relacl FROM pg_class WHERE {ROWS}"))


async def test_what_a_definition_takes_away_is_told_before_anything_is_touched(
    connections: Connections, database_url: str, sql: psycopg.Connection, role: str
) -> None:
    sql.execute(f"CREATE ROLE {role}")
    sql.execute(f"GRANT SELECT ON carts.cart_items TO {role}")
    sql.execute("CREATE SCHEMA bi; CREATE VIEW bi.mine AS SELECT currency FROM carts.cart_items")
    sql.execute("CREATE VIEW bi.amounts AS SELECT cart_id FROM carts.cart_amounts")
    await fed(database_url, FIRST_GENERATION, at=5)
    views = (
        "SELECT array_agg(definition ORDER BY viewname) FROM pg_views WHERE schemaname = 'carts'"
    )
    before = one(sql, views)
    assert await pointing.would_break(connections, WITHOUT_CURRENCY) == [
        "carts.cart_amounts goes: view bi.amounts stands on it",
        "carts.cart_items loses column currency: view bi.mine stands on it",
    ]
    await made(connections, WITHOUT_CURRENCY)
    with pytest.raises(RebuildError, match=r"carts.cart_amounts goes: view bi.amounts stands"):
        await promoted(connections, 2)
    assert one(sql, views) == before
    await promoted(connections, 2, forced=True)
    assert one(sql, "SELECT count(*) FROM bi.amounts") == 0
    await switching.rollback(connections, keep_seconds=0, who=WHO, forced=True)
    assert one(sql, "SELECT currency FROM carts.cart_items") is None
    await switching.rollback(connections, keep_seconds=0, who=WHO, forced=True)
    sql.execute("DROP VIEW bi.amounts, bi.mine")
    assert await retiring.retire(connections) == [1]
    assert [one.left for one in await retiring.drop_ended(connections)] == [[]]
    assert one(sql, "SELECT to_regclass('carts.cart_amounts') IS NULL")
    assert "currency" not in str(one(sql, COLUMNS))
    assert f"{role}=r" in str(one(sql, f"SELECT relacl FROM pg_class WHERE {ROWS}"))
    assert one(sql, "SELECT obj_description('carts.cart_items'::regclass)") == CARTS.rows_comment


async def test_a_total_that_is_new_goes_again_and_stays_empty_where_something_stands_on_it(
    connections: Connections, database_url: str, sql: psycopg.Connection
) -> None:
    more = replace(
        CARTS, totals=(*CARTS.totals, replace(CARTS.totals[1], name="goods", per_day=""))
    )
    await beside(connections, database_url, more)
    await promoted(connections, 2)
    assert one(sql, "SELECT line_count FROM carts.goods") == 1
    assert "carts_reader=r" in str(
        one(sql, "SELECT relacl FROM pg_class WHERE oid = 'carts.goods'::regclass")
    )
    sql.execute("CREATE SCHEMA bi; CREATE VIEW bi.goods AS SELECT * FROM carts.goods")
    await switching.rollback(connections, keep_seconds=0, who=WHO)
    assert one(sql, "SELECT count(*) FROM bi.goods") == 0
    await retiring.retire(connections)
    await retiring.drop_ended(connections)
    assert one(sql, "SELECT count(*) FROM bi.goods") == 0
    assert one(sql, "SELECT line_count FROM carts.item_totals") == 1


async def test_a_reader_in_a_transaction_is_waited_for_and_named(
    connections: Connections, database_url: str, sql: psycopg.Connection
) -> None:
    await beside(connections, database_url)
    with psycopg.connect(database_url) as reader:
        reader.execute("SELECT count(*) FROM carts.item_totals")
        with pytest.raises(SinkUnavailable, match=f"pid {reader.info.backend_pid} .*item_totals"):
            await promoted(connections, 2)
        assert one(sql, "SELECT count(*) FROM carts.cart_items") == 1
    await promoted(connections, 2)


async def test_a_snapshot_sees_what_was_live_when_it_was_taken(
    connections: Connections, database_url: str, sql: psycopg.Connection
) -> None:
    """However old it is, and although no view was touched under it before."""
    await fed(database_url, FIRST_GENERATION, at=5)
    with psycopg.connect(database_url) as old:
        old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        old.execute("SELECT 1")
        second = await made(connections)
        await fed(database_url, second.generation, at=5, lines=2)
        await promoted(connections, 2)
        assert one(sql, "SELECT count(*) FROM carts.cart_items") == 2
        assert one(old, "SELECT count(*) FROM carts.cart_items") == 1
        assert one(old, "SELECT line_count FROM carts.cart_totals") == 1


async def test_a_column_of_another_type_is_brought_all_the_same(
    connections: Connections, database_url: str, sql: psycopg.Connection
) -> None:
    """The one case in which the switch itself replaces the views, and waits for old snapshots."""
    told = replace(CARTS.fields[1], kind=Kind.TEXT)
    texts = replace(
        CARTS,
        fields=(CARTS.fields[0], told, *CARTS.fields[2:]),
        products=(),
        totals=(replace(CARTS.totals[1], sums=(), per_day=""),),
        history=None,
        row_text=(),
    )
    await fed(database_url, FIRST_GENERATION, at=5)
    with psycopg.connect(database_url) as old:
        old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        old.execute("SELECT 1")
        await made(connections, texts)
        with pytest.raises(SinkUnavailable, match=f"pid {old.info.backend_pid} .*half filled"):
            await promoted(connections, 2)
    await promoted(connections, 2, forced=True)
    assert one(
        sql, "SELECT pg_typeof(quantity) FROM (SELECT NULL) n LEFT JOIN carts.cart_items ON true"
    )
    await switching.rollback(connections, keep_seconds=60, who=WHO, forced=True)
    assert one(sql, "SELECT quantity + 1 FROM carts.cart_items") == 2


async def test_a_column_cannot_change_its_type_under_its_name_in_the_history(
    connections: Connections,
) -> None:
    """One log is for all generations: its trigger would fail, and with it every batch."""
    other = tuple(
        replace(field, kind=Kind.TEXT, quoted=False) if field.column == "unit_price" else field
        for field in CARTS.fields
    )
    changed = replace(CARTS, fields=other, products=(), totals=(CARTS.totals[1],), row_text=())
    assert await pointing.would_break(connections, changed) == [
        (
            "projector.cart_events keeps unit_price as numeric, which would be text:"
            " give the column another name"
        )
    ]


async def test_new_columns_of_the_history_do_not_queue_behind_whoever_reads_it_for_long(
    connections: Connections, sql: psycopg.Connection, database_url: str
) -> None:
    with psycopg.connect(database_url) as analyst:
        analyst.execute("SELECT count(*) FROM carts.cart_events")
        with pytest.raises(RebuildError, match="reads the history for long"):
            await made(connections, NOTED)
    assert one(sql, "SELECT count(*) FROM projector.generations") == 1
    await made(connections, NOTED)
