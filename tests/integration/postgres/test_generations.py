"""Generations are made, made live, gone back to and dropped, and what people built on the views survives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import msgspec
import psycopg
import pytest

from projector.core.errors import RebuildError, SchemaMismatch, SinkUnavailable
from projector.ports.generations import FillSource, GenerationState
from projector.postgres import generations as registry
from projector.postgres import pointing, retiring, switching
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.generation import FIRST_GENERATION, Generation
from projector.postgres.generations import Registered
from projector.postgres.sink import PostgresSink
from projector.postgres.switching import Place, why_behind
from projector.projection.carts import CARTS
from projector.projection.definition import Definition, Field, Kind
from tests.integration.postgres.carts import apply, begun, line, page, rejection

NOTED = replace(
    CARTS,
    fields=(
        CARTS.fields[0],
        Field(name="note", column="note", kind=Kind.TEXT, optional=True, comment="A note."),
        *CARTS.fields[1:],
    ),
)
WITHOUT_CURRENCY = replace(
    CARTS, row_text=(), fields=CARTS.fields[:3], totals=(replace(CARTS.totals[1]),)
)
WHO = "anna@desk"
ROWS = "oid = 'carts.cart_items'::regclass"


@pytest.fixture
def sql(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as session:
        yield session


async def made(connections: Connections, definition: Definition = CARTS) -> Registered:
    return await registry.create(
        connections,
        definition,
        who=WHO,
        why="to try",
        source=FillSource.FEED,
        processor_name="projector",
        state=GenerationState.FOLLOWING,
    )


@asynccontextmanager
async def feeding(url: str, generation: Generation) -> AsyncIterator[PostgresSink]:
    async with Connections(ConnectionOptions(url=url, control=generation.control)) as connections:
        yield PostgresSink(connections, generation=generation)


def values(note: str | None) -> tuple[object, ...]:
    told = line("cart", "1", 1).values
    return (told[0], note, *told[1:])


async def fed(url: str, generation: Generation, *, at: int, lines: int = 1) -> None:
    """Bring a generation to a place, with so many lines in one cart."""
    async with feeding(url, generation) as sink:
        grant = await begun(sink)
        writes = [line("cart", str(number), number) for number in range(1, lines + 1)]
        if len(generation.definition.fields) > len(CARTS.fields):
            writes = [msgspec.structs.replace(one, values=values("n")) for one in writes]
        await apply(sink, grant, page(*writes), at=at)


async def promoted(connections: Connections, number: int, **changes: object) -> None:
    await switching.promote(connections, number, **{"keep_seconds": 3600, "who": WHO, **changes})  # type: ignore[arg-type]


def one(sql: psycopg.Connection, query: str) -> object:
    row = sql.execute(query).fetchone()
    assert row is not None
    return row[0]


async def test_a_generation_becomes_live_and_the_former_one_live_again(
    connections: Connections, database_url: str, sql: psycopg.Connection
) -> None:
    await fed(database_url, FIRST_GENERATION, at=5)
    second = await made(connections)
    await fed(database_url, second.generation, at=5, lines=2)
    assert one(sql, "SELECT line_count FROM carts.cart_totals") == 1
    await promoted(connections, 2, report={"missing": 0})
    assert one(sql, "SELECT line_count FROM carts.cart_totals") == 2
    assert one(sql, "SELECT count(*) FROM carts.cart_items") == 2
    assert one(sql, "SELECT position_time FROM carts.freshness WHERE feed_range = 'all'")
    now = await registry.records(connections)
    assert [(r.id, r.state) for r in now] == [(2, "live"), (1, "former")]
    assert now[1].fed_until is not None
    assert now[1].live_until == now[0].live_from
    assert now[0].processor_name == "projector@g2"
    back = await switching.rollback(connections, keep_seconds=60, who=WHO)
    assert back.record.id == 1
    assert one(sql, "SELECT line_count FROM carts.cart_totals") == 1
    reigns = sql.execute(
        "SELECT generation, live_until IS NULL FROM projector.reigns ORDER BY live_from"
    )
    assert reigns.fetchall() == [(1, False), (2, False), (1, True)]
    again = await switching.rollback(connections, keep_seconds=60, who=WHO)
    assert again.record.id == 2
    told = sql.execute("SELECT kind, subject, actor FROM projector.timeline ORDER BY id").fetchall()
    assert told == [
        ("rebuild_started", "2", WHO),
        ("rebuild_promoted", "2", WHO),
        ("rebuild_rolled_back", "1", WHO),
        ("rebuild_rolled_back", "2", WHO),
    ]


async def test_one_that_is_behind_is_not_made_live_unless_forced(
    connections: Connections, database_url: str, sql: psycopg.Connection
) -> None:
    await fed(database_url, FIRST_GENERATION, at=5)
    second = await made(connections)
    with pytest.raises(SinkUnavailable, match="has not begun to read -FF"):
        await promoted(connections, 2)
    await fed(database_url, second.generation, at=4)
    with pytest.raises(SinkUnavailable, match="is at 4 in -FF, and the live one at 5"):
        await promoted(connections, 2)
    assert (await registry.records(connections))[0].state == "following"
    await promoted(connections, 2, forced=True)
    [live, _] = await registry.records(connections)
    assert (live.state, live.forced) == ("live", WHO)


def places(*told: tuple[str, str, int | None]) -> list[Place]:
    return [Place(low, high, True, lsn) for low, high, lsn in told]


@pytest.mark.parametrize(
    ("new", "old", "told"),
    [
        (places(("", "80", 9), ("80", "FF", 7)), places(("", "FF", 7)), ""),
        (places(("", "80", 9), ("80", "FF", 6)), places(("", "FF", 7)), "is at 6 in -FF"),
        (places(("", "FF", 9)), places(("", "80", 9), ("80", "FF", 3)), ""),
        (places(("", "FF", 8)), places(("", "80", 9), ("80", "FF", 3)), "is at 8 in -80"),
        (
            places(("", "80", 9)),
            places(("", "80", 9), ("80", "FF", 3)),
            "has not begun to read 80-FF",
        ),
        (places(("", "FF", None)), places(("", "FF", 3)), "is nowhere in -FF"),
        (places(("", "FF", 1)), places(("", "FF", None)), ""),
    ],
    ids=["split", "split_behind", "merge", "merge_behind", "gap", "nowhere", "nothing_read"],
)
def test_where_one_is_behind(new: list[Place], old: list[Place], told: str) -> None:
    assert why_behind(new, old).startswith(told)
    assert bool(why_behind(new, old)) == bool(told)


async def test_a_second_one_at_once_is_refused_and_one_may_follow_another(
    connections: Connections, sql: psycopg.Connection
) -> None:
    await made(connections)
    with pytest.raises(RebuildError, match="projector rebuild abort"):
        await made(connections)
    await registry.abort(connections, 2, who=WHO)
    with pytest.raises(RebuildError, match="is aborted"):
        await registry.abort(connections, 2, who=WHO)
    assert [one.left for one in await retiring.drop_ended(connections)] == [[]]
    assert one(sql, "SELECT to_regnamespace('projector_g2') IS NULL")
    third = await made(connections)
    assert third.record.id == 3
    with pytest.raises(RebuildError, match="nothing to go back to"):
        await switching.rollback(connections, keep_seconds=1, who=WHO)
    with pytest.raises(RebuildError, match="generation 1 is live"):
        await promoted(connections, 1)


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
    await fed(database_url, FIRST_GENERATION, at=5)
    second = await made(connections, NOTED)
    await fed(database_url, second.generation, at=5, lines=2)
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
    columns = one(
        sql,
        "SELECT array_agg(attname::text ORDER BY attnum) FROM pg_attribute"
        " WHERE attrelid = 'carts.cart_items'::regclass AND attnum > 0",
    )
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
    with pytest.raises(
        RebuildError, match=r"carts.cart_amounts would have to go.* view bi.amounts"
    ):
        await promoted(connections, 2, forced=True)
    assert one(sql, views) == before
    sql.execute("DROP VIEW bi.amounts, bi.mine")
    assert await pointing.would_break(connections, WITHOUT_CURRENCY) == []
    await promoted(connections, 2, forced=True)
    assert one(sql, "SELECT to_regclass('carts.cart_amounts') IS NULL")
    assert f"{role}=r" in str(one(sql, f"SELECT relacl FROM pg_class WHERE {ROWS}"))
    assert one(sql, "SELECT obj_description('carts.cart_items'::regclass)") == CARTS.rows_comment
    await switching.rollback(connections, keep_seconds=60, who=WHO)
    assert one(sql, "SELECT currency FROM carts.cart_items") is None
    assert one(sql, "SELECT count(*) FROM carts.cart_amounts") == 0


async def test_a_total_that_is_new_goes_again_and_stays_empty_where_something_stands_on_it(
    connections: Connections, database_url: str, sql: psycopg.Connection
) -> None:
    goods = replace(CARTS.totals[1], name="goods", per_day="")
    more = replace(CARTS, totals=(*CARTS.totals, goods))
    await fed(database_url, FIRST_GENERATION, at=5)
    second = await made(connections, more)
    await fed(database_url, second.generation, at=5)
    await promoted(connections, 2)
    assert one(sql, "SELECT line_count FROM carts.goods") == 1
    grants = "SELECT relacl FROM pg_class WHERE oid = 'carts.goods'::regclass"
    assert "carts_reader=r" in str(one(sql, grants))
    await switching.rollback(connections, keep_seconds=60, who=WHO)
    assert one(sql, "SELECT to_regclass('carts.goods') IS NULL")
    await switching.rollback(connections, keep_seconds=60, who=WHO)
    sql.execute("CREATE SCHEMA bi; CREATE VIEW bi.goods AS SELECT * FROM carts.goods")
    for rows in (0, 1):
        await switching.rollback(connections, keep_seconds=60, who=WHO)
        assert one(sql, "SELECT count(*) FROM bi.goods") == rows


async def test_a_reader_in_a_transaction_is_waited_for_and_named(
    connections: Connections, database_url: str, sql: psycopg.Connection
) -> None:
    await fed(database_url, FIRST_GENERATION, at=5)
    second = await made(connections)
    await fed(database_url, second.generation, at=5)
    with psycopg.connect(database_url) as reader:
        reader.execute("SELECT count(*) FROM carts.item_totals")
        with pytest.raises(SinkUnavailable, match=f"pid {reader.info.backend_pid} .*reads a view"):
            await promoted(connections, 2)
        assert one(sql, "SELECT count(*) FROM carts.cart_items") == 1
    await promoted(connections, 2)


async def test_a_snapshot_older_than_the_generation_is_waited_for(
    connections: Connections, database_url: str, sql: psycopg.Connection
) -> None:
    await fed(database_url, FIRST_GENERATION, at=5)
    with psycopg.connect(database_url) as old:
        old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        old.execute("SELECT 1")
        second = await made(connections)
        await fed(database_url, second.generation, at=5)
        with pytest.raises(SinkUnavailable, match=f"pid {old.info.backend_pid} .*half filled"):
            await promoted(connections, 2)
    await promoted(connections, 2)
    assert one(sql, "SELECT count(*) FROM carts.cart_items") == 1


async def test_what_was_discarded_stays_so_in_both(
    connections: Connections, database_url: str, sql: psycopg.Connection
) -> None:
    second = await made(connections)
    for generation in (FIRST_GENERATION, second.generation):
        async with feeding(database_url, generation) as sink:
            bad = [rejection("cart", name, 2) for name in ("bad", "worse")]
            await apply(sink, await begun(sink), page(rejections=bad), at=2)
    discard = "UPDATE {}.quarantine SET status = 'discarded' WHERE document_id = '{}'"
    open_ = "SELECT array_agg(document_id) FROM {}.quarantine WHERE status = 'open'"
    sql.execute(discard.format("projector", "bad").encode())
    await promoted(connections, 2)
    assert one(sql, open_.format("projector_g2")) == ["worse"]
    sql.execute(discard.format("projector_g2", "worse").encode())
    await switching.rollback(connections, keep_seconds=60, who=WHO)
    assert one(sql, open_.format("projector")) is None


async def test_the_first_one_is_retired_when_its_time_is_over_and_the_next_is_dropped_whole(
    connections: Connections, database_url: str, sql: psycopg.Connection
) -> None:
    """What people built on its tables stays, and is named; what the migrations made stays, empty."""
    await fed(database_url, FIRST_GENERATION, at=5)
    second = await made(connections)
    await fed(database_url, second.generation, at=5)
    await promoted(connections, 2, keep_seconds=3600)
    assert await retiring.retire(connections) == []
    await switching.rollback(connections, keep_seconds=0, who=WHO)
    await switching.rollback(connections, keep_seconds=0, who=WHO)
    sql.execute("CREATE VIEW public.mine AS SELECT item FROM projector_g1.item_totals")
    sql.execute("CREATE PUBLICATION theirs FOR TABLE projector_g1.cart_totals")
    assert await retiring.retire(connections) == [1]
    with pytest.raises(RebuildError, match="nothing to go back to"):
        await switching.rollback(connections, keep_seconds=0, who=WHO)
    [dropped] = await retiring.drop_ended(connections)
    left = dropped.left
    assert any("projector_g1.cart_totals is in publication theirs" in told for told in left)
    assert any("public.mine" in told and "item_totals" in told for told in left)
    assert one(sql, "SELECT to_regclass('projector_g1.cart_items') IS NULL")
    assert one(sql, "SELECT count(*) FROM public.mine") == 1
    assert one(sql, "SELECT count(*) FROM projector.ranges") == 0
    sql.execute("DROP VIEW public.mine; DROP PUBLICATION theirs")
    assert [one.left for one in await retiring.drop_ended(connections)] == [[]]
    assert one(sql, "SELECT to_regnamespace('projector_g1') IS NULL")
    assert one(sql, "SELECT count(*) FROM carts.cart_items") == 1
    assert await retiring.drop_ended(connections) == []


async def test_only_what_this_program_understands_is_fed(
    connections: Connections, sql: psycopg.Connection
) -> None:
    """A newer program makes a generation that this one knows nothing of."""
    await made(connections)
    newer = "UPDATE projector.generations SET definition = definition || '{\"shuffled\": true}' WHERE id = "
    sql.execute(newer.encode() + b"2")
    async with connections.session() as session:
        assert [known.record.id for known in await registry.fed(session)] == [1]
    sql.execute(newer.encode() + b"1")
    with pytest.raises(SchemaMismatch, match=r"made by a newer program .*definition.shuffled"):
        await registry.records(connections)


async def test_functions_of_readers_follow_the_views(
    connections: Connections, sql: psycopg.Connection, database_url: str
) -> None:
    text = "SELECT pg_get_functiondef('carts.includes'::regproc)"
    registered = await made(connections)
    generation = registered.generation
    for each in (FIRST_GENERATION, generation):
        await fed(database_url, each, at=7)
    told = sql.execute(text).fetchone()
    assert told is not None
    assert f" {generation.control}.ranges" not in told[0]
    await promoted(connections, registered.record.id)
    told = sql.execute(text).fetchone()
    assert told is not None
    assert f" {generation.control}.ranges" in told[0]
    assert " projector.ranges" not in told[0]
