"""The views keep what they promise: the frozen text of them, and rows that bear it out."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import psycopg
import pytest

from projector.ports.feed import Grant
from projector.postgres.connections import Connections
from projector.postgres.generation import FIRST_GENERATION
from projector.postgres.recording import Recording, RecordingOptions
from projector.postgres.sink import PostgresSink
from projector.postgres.templates import View
from projector.postgres.views import views_of
from tests.integration.postgres.carts import Shop, apply, begun, line, page, rows, tombstone
from tests.integration.postgres.test_history import COMPLETE, EARLIER, execute
from tests.views_contract import DECLARED, FROZEN, RELATIONS, SCHEMA, told

VIEWS = views_of(FIRST_GENERATION)
DAY = timedelta(days=1)


def test_names_types_order_and_comments_are_those_that_were_promised(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        found = told(connection)
    assert found == FROZEN.read_text("utf-8"), "python -m tests.views_contract writes it anew"


def test_every_view_column_and_function_says_what_it_is(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        text = told(connection)
        names = {str(row[0]) for row in connection.execute(RELATIONS, [SCHEMA])}
    assert [line for line in text.splitlines() if line.endswith((": None", ": "))] == []
    assert names == set(DECLARED)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_a_view_says_what_tells_its_rows_apart_and_what_may_be_missing(view: View) -> None:
    assert view.key
    assert {*view.key, *view.optional} <= set(view.columns)


async def test_rows_bear_out_the_keys_and_what_may_be_missing(
    connections: Connections, sink: PostgresSink
) -> None:
    grant, shop = await begun(sink), Shop(7)
    await apply(sink, grant, page(*{w.key + w.id: w for w in map(shop.write, [9] * 40)}.values()))
    await apply(sink, grant, page(line("bare", "1", 10), line("odd", "1", 11, price="2")), at=11)
    await with_a_past(connections, sink, grant)
    async with connections.session() as session:
        for view in VIEWS:
            of = f"FROM {SCHEMA}.{view.name}"
            [(total, apart)] = await rows(
                session, f"SELECT count(*), count(DISTINCT ({', '.join(view.key)})) {of}"
            )
            assert total == apart > 0, view.name
            missing = ", ".join(f"count(*) - count({column})" for column in view.columns)
            [counts] = await rows(session, f"SELECT {missing} {of}")
            seen = {column for column, n in zip(view.columns, counts, strict=True) if n}
            assert seen <= view.optional, view.name
            assert seen == view.optional or view.name == "freshness"


async def with_a_past(connections: Connections, sink: PostgresSink, grant: Grant) -> None:
    """Events of each kind, days that are known and one that is not, and a gap."""
    recording = Recording(connections, RecordingOptions())
    await execute(connections, COMPLETE)
    await recording.begin()
    await apply(
        sink, grant, page(line("bare", "1", 12, quantity="2"), line("bare", "2", 13)), at=13
    )
    gone = msgspec.structs.replace(tombstone("odd", "1", 14), etag="")
    await apply(sink, grant, page(gone), at=14)
    await execute(
        connections, "DELETE FROM projector_g1.cart_items WHERE id = '2'", *EARLIER, by=DAY
    )
    await Recording(connections, RecordingOptions(on=False)).configure()
    await recording.configure()
    await recording.begin()
    await execute(connections, *EARLIER, by=DAY)
    await recording.keep()
    await Recording(connections, RecordingOptions(on=False)).configure()
    await recording.configure()
    await recording.begin()
