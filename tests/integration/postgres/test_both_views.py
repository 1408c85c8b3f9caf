"""Views that read the live one of several generations."""

from __future__ import annotations

from dataclasses import replace

import psycopg

from projector.postgres import both_views, retiring, switching
from projector.postgres.connections import Connections
from projector.postgres.generation import FIRST_GENERATION
from projector.projection.carts import CARTS
from projector.projection.definition import Field, Kind
from tests.integration.postgres.generations import (
    WHO,
    beside,
    fed,
    made,
    one,
    promoted,
    snapshot_of,
)


async def test_going_back_waits_for_no_reader_and_the_newest_are_found_by_an_index(
    connections: Connections, database_url: str, sql: psycopg.Connection
) -> None:
    await beside(connections, database_url, lines=2)
    await promoted(connections, 2)
    with snapshot_of(database_url) as old:
        assert one(old, "SELECT line_count FROM carts.cart_totals") == 2  # holds the view's lock
        await switching.rollback(connections, keep_seconds=60, who=WHO)
        assert one(sql, "SELECT line_count FROM carts.cart_totals") == 1
        assert one(old, "SELECT line_count FROM carts.cart_totals") == 2
        await switching.rollback(connections, keep_seconds=60, who=WHO)
    sql.execute("SET enable_seqscan = off")
    newest = "EXPLAIN SELECT * FROM carts.cart_totals ORDER BY last_changed_at DESC LIMIT 9"
    plan = "\n".join(line for (line,) in sql.execute(newest.encode()).fetchall())
    assert "Merge Append" in plan
    assert "Sort  (" not in plan


async def test_what_an_old_snapshot_may_look_at_is_not_dropped(
    connections: Connections, database_url: str, sql: psycopg.Connection
) -> None:
    await beside(connections, database_url, lines=2)
    with snapshot_of(database_url) as old:
        await promoted(connections, 2)
        sql.execute("UPDATE projector.generations SET fed_until = now() WHERE id = 1")
        assert await retiring.retire(connections) == [1]
        [kept] = await retiring.drop_ended(connections)
        assert kept.whole
        assert f"pid {old.info.backend_pid} " in kept.left[0]
        assert one(old, "SELECT line_count FROM carts.cart_totals") == 1
    [dropped] = await retiring.drop_ended(connections)
    assert (dropped.record.id, dropped.left) == (1, [])
    views = "SELECT string_agg(definition, '') FROM pg_views WHERE schemaname = 'carts'"
    assert "projector_g1" not in str(one(sql, views))
    assert one(sql, "SELECT line_count FROM carts.cart_totals") == 2


async def test_a_snapshot_of_a_retired_generation_sees_it_whatever_is_promoted_next(
    connections: Connections, database_url: str, sql: psycopg.Connection
) -> None:
    await beside(connections, database_url, lines=2)
    with snapshot_of(database_url) as old:
        await promoted(connections, 2)
        sql.execute("UPDATE projector.generations SET fed_until = now() WHERE id = 1")
        await retiring.retire(connections)
        third = await made(connections)
        await fed(database_url, third.generation, at=5, lines=3)
        await promoted(connections, 3)
        assert one(old, "SELECT line_count FROM carts.cart_totals") == 1
    assert one(sql, "SELECT line_count FROM carts.cart_totals") == 3


WEIGHED = replace(
    CARTS,
    fields=(
        *CARTS.fields,
        Field(name="weight", column="weight", kind=Kind.NUMBER, optional=True, comment="In grams."),
    ),
)


async def test_views_of_three_generations_take_a_new_column_of_numbers(
    connections: Connections, database_url: str, sql: psycopg.Connection
) -> None:
    second = await beside(connections, database_url)
    await promoted(connections, 2)
    third = await made(connections, WEIGHED)
    seen = [FIRST_GENERATION, second.generation]
    both = {"to": third.generation, "former": second.generation}
    assert await both_views.read_both(connections, **both, seen=seen)
    async with connections.session() as session:
        assert await both_views.is_both_read(session, **both)
    assert one(sql, "SELECT count(weight) FROM carts.cart_items") == 0


NAMED = replace(
    CARTS,
    totals=(
        replace(CARTS.totals[0], name="cart_items_sold"),
        replace(CARTS.totals[1], name="order"),
    ),
    history=None,
)
"""One that begins like the rows, and one that SQL uses itself."""


async def test_a_table_may_have_any_name_that_the_definition_takes(
    connections: Connections, sql: psycopg.Connection
) -> None:
    second = await made(connections, NAMED)
    await promoted(connections, 2, forced=True)
    assert one(sql, "SELECT count(*) FROM carts.order") == 0
    third = await made(connections, NAMED)
    both = {"to": third.generation, "former": second.generation}
    assert await both_views.read_both(connections, **both, seen=[])
    async with connections.session() as session:
        assert await both_views.is_both_read(session, **both)
