"""A later generation has control tables of its own, like the first one's, and statements find them."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest

from projector.postgres import schema
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.generation import Generation
from projector.postgres.quarantine import count_open
from projector.postgres.ranges import live_ranges
from projector.postgres.sink import PostgresSink
from projector.postgres.tables import table_statements
from projector.projection.carts import CARTS
from projector.projection.definition import CONTROL_TABLES
from projector.projection.definition_text import definition_from_json, definition_hash
from tests.integration.postgres.carts import apply, begun, line, page, rejection

SECOND = Generation(definition=CARTS, schema="projector_g2", control="projector_g2")
# Of each thing the table, or the function, that it belongs to, first.
SHAPES = {
    "columns": """
SELECT table_name, column_name, ordinal_position, udt_name, collation_name, is_nullable,
  column_default, is_identity FROM information_schema.columns WHERE table_schema = %s""",
    "storage": """
SELECT c.relname, c.reloptions, a.attname, a.attstorage FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relnamespace = %s::regnamespace AND c.relkind = 'r' AND a.attnum > 0""",
    "constraints": """
SELECT c.relname, n.conname, pg_get_constraintdef(n.oid) FROM pg_constraint n
JOIN pg_class c ON c.oid = n.conrelid
WHERE n.connamespace = %s::regnamespace AND n.contype <> 'n'""",
    "indexes": "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = %s",
    "triggers": """
SELECT c.relname, pg_get_triggerdef(t.oid) FROM pg_trigger t
JOIN pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace = %s::regnamespace AND NOT tgisinternal""",
    "functions": """
SELECT proname, pg_get_function_identity_arguments(oid), prosrc, prolang, proconfig
FROM pg_proc WHERE pronamespace = %s::regnamespace""",
}
TABLES = {*CONTROL_TABLES, CARTS.rows, *(one.name for one in CARTS.totals)}
FUNCTIONS = {
    "one_range_per_key", "count_copied", "newest_in_cart_totals", "log_added", "log_changed", "log_removed",
}  # fmt: skip


def shape(session: psycopg.Connection, query: str, *schemas: str) -> list[str]:
    """What belongs to a generation in these schemas, under whatever name they have."""
    found = [
        repr(row)
        for one in schemas
        for row in session.execute(query.encode(), [one])
        if row[0] in TABLES | FUNCTIONS
    ]
    here = re.compile(rf"\b({'|'.join(schemas)})\.(?=({'|'.join(TABLES | FUNCTIONS)})\b)")
    own = re.compile(r"own CONSTANT integer := \d+")
    return sorted(own.sub("own", here.sub("here.", row)) for row in found)


def test_a_new_generation_is_like_the_first_one(database_url: str) -> None:
    with psycopg.connect(database_url) as session:
        for statement in table_statements(SECOND):
            session.execute(statement.encode())
        for name, query in SHAPES.items():
            first = shape(session, query, "projector", "projector_g1")
            assert shape(session, query, "projector_g2") == first, name
            assert len(first) >= 2


def test_the_first_generation_in_the_registry_is_what_is_there(database_url: str) -> None:
    """Until the first step that follows a change of the definition."""
    with psycopg.connect(database_url) as session:
        rows = session.execute(
            "SELECT id, schema_name, control_schema, state, definition, definition_hash"
            " FROM projector.generations"
        ).fetchall()
        reigns = session.execute("SELECT generation, live_until FROM projector.reigns").fetchall()
    [(number, schema_name, control, state, told, hashed)] = rows
    assert (number, schema_name, control, state) == (1, "projector_g1", "projector", "live")
    assert definition_from_json(told) == CARTS
    assert hashed == definition_hash(CARTS)
    assert reigns == [(1, None)]


async def test_two_generations_are_fed_side_by_side(database_url: str) -> None:
    """The same statements, by sessions that look elsewhere."""
    with psycopg.connect(database_url) as session:
        for statement in table_statements(SECOND):
            session.execute(statement.encode())
    first = ConnectionOptions(url=database_url)
    second = ConnectionOptions(url=database_url, control=SECOND.control)
    async with Connections(first) as one, Connections(second) as other:
        feeds = {one: PostgresSink(one), other: PostgresSink(other, generation=SECOND)}
        for connections, sink in feeds.items():
            grant = await begun(
                sink,
            )
            lines = [line("cart", str(n), n) for n in range(1, 2 if connections is one else 3)]
            await apply(sink, grant, page(*lines, rejections=[rejection("cart", "bad", 9)]))
        assert len(await live_ranges(one)) == len(await live_ranges(other)) == 1
        for table, expected in (("projector_g1.cart_items", 1), ("projector_g2.cart_items", 2)):
            [row] = await one.all_rows(dict, f"SELECT count(*) FROM {table}")
            assert row["count"] == expected
        assert await count_open(one) == await count_open(other) == 1


@pytest.mark.parametrize("folder", ["postgres", "rebuild", "wiring"])
def test_no_statement_says_where_control_tables_are(folder: str) -> None:
    """But for what the server keeps: functions and views, which say it by `{control}`."""
    named = re.compile(rf"\bprojector\.({'|'.join(CONTROL_TABLES)})\b(?!\s+import)")
    for path in (Path(schema.__file__).parents[1] / folder).glob("*.py"):
        text = re.sub(
            r"^(from|import) .*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE
        )
        text = re.sub(r"`[^`]*`", "", text)
        assert not named.findall(text), path.name
