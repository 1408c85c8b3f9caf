"""The schema: built by the baseline, made from the definition, read by BI."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import make_url

from projector.core.errors import ConfigurationError, SchemaMismatch, SinkUnavailable
from projector.postgres import migrate, retiring, schema
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.generation import FIRST_GENERATION
from projector.postgres.views import views_of
from projector.processor.clock import SystemClock
from projector.wiring import database
from projector.wiring.servers import Servers
from tests.integration.postgres.generations import fed, made, promoted
from tests.made import create

# Everything that makes a schema, as text: what two databases must have in common.
CATALOGUE = {
    "columns": """
SELECT table_schema, table_name, column_name, ordinal_position, data_type, udt_name,
  collation_name, is_nullable, column_default, is_identity
FROM information_schema.columns WHERE table_schema LIKE 'projector%'""",
    "storage": """
SELECT a.attrelid::regclass::text, a.attname, a.attstorage FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname LIKE 'projector%' AND c.relkind = 'r' AND a.attnum > 0""",
    "constraints": """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace::regnamespace::text LIKE 'projector%' AND contype <> 'n'""",
    "indexes": "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname LIKE 'projector%'",
    "options": """
SELECT c.oid::regclass::text, c.reloptions FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname LIKE 'projector%' AND c.relkind IN ('r', 'S')""",
    "views": """
SELECT schemaname, viewname, definition FROM pg_views WHERE schemaname = 'carts'""",
    "triggers": """
SELECT tgrelid::regclass::text, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal""",
    "functions": """
SELECT oid::regprocedure::text, regexp_replace(prosrc, '\\s+', ' ', 'g'), prolang, proconfig
FROM pg_proc WHERE pronamespace::regnamespace::text LIKE 'projector%'""",
    "comments": """
SELECT d.objoid::regclass::text, d.objsubid, d.description FROM pg_description d
JOIN pg_class c ON c.oid = d.objoid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'carts'""",
}


def catalogue(url: str) -> Mapping[str, list[tuple[object, ...]]]:
    with psycopg.connect(url) as connection:
        found = {
            name: sorted(connection.execute(text).fetchall(), key=repr)
            for name, text in CATALOGUE.items()
        }
    for name, rows in found.items():
        found[name] = [row for row in rows if "alembic_version" not in repr(row)]
    return found


VIEWS = views_of(FIRST_GENERATION)


def downgrade(url: str, to: str = "base") -> None:
    with migrate._alone(url) as connection:
        migrate._run(command.downgrade, connection, to)


@contextmanager
def connected(url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def test_the_newest_schema_is_what_the_definition_says(database_url: str) -> None:
    found = catalogue(database_url)
    with connected(database_url) as connection:
        connection.execute("DROP SCHEMA carts, projector_g1 CASCADE")
        create(connection, FIRST_GENERATION)
    expected = catalogue(database_url)
    for name in CATALOGUE:
        assert found[name] == expected[name], name
    assert len(found["columns"]) > 80


RELEASED = {
    "control": "799cb29daa30ade1",
    "generation": "ea9f22a5bb03d08d",
    "views": "28109c00377af435",
}


@pytest.mark.parametrize("part", RELEASED)
def test_the_baseline_is_never_edited(part: str) -> None:
    """Databases out there were made by it: what changes comes as a step."""
    text = (schema.migrations_folder() / "baseline" / f"{part}.sql").read_bytes()
    assert sha256(text).hexdigest().startswith(RELEASED[part])


def test_downgrade_leaves_nothing_but_the_role_and_upgrade_builds_the_same(
    empty_database_url: str,
) -> None:
    assert schema.current(empty_database_url) is None
    assert migrate.upgrade(empty_database_url) == schema.head()
    before = catalogue(empty_database_url)
    downgrade(empty_database_url)
    assert schema.current(empty_database_url) is None
    with connected(empty_database_url) as connection:
        left = connection.execute(
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname ~ '^(projector|carts)' AND c.relkind <> 'i'"
        ).fetchall()
        role = connection.execute("SELECT FROM pg_roles WHERE rolname = 'carts_reader'").fetchall()
    assert left == [("projector", "alembic_version")]
    assert len(role) == 1
    migrate.upgrade(empty_database_url)
    assert catalogue(empty_database_url) == before


END_IT_NOW = "UPDATE projector.generations SET fed_until = now() WHERE state = 'former'"


async def test_a_downgrade_needs_no_first_generation(empty_database_url: str) -> None:
    """It is dropped some time after the second one is live; what logs the rows of that one must go, too.

    Until then the views read both of them, by the registry: the downgrade says what to do first.
    """
    url = empty_database_url
    migrate.upgrade(url)
    before = catalogue(url)
    async with Connections(ConnectionOptions(url=url)) as connections:
        await fed(url, FIRST_GENERATION, at=5)
        await fed(url, (await made(connections)).generation, at=5)
        await promoted(connections, 2, keep_seconds=3600)
        with pytest.raises(
            CommandError, match=r"former generation is kept until .*fed_until = now"
        ):
            downgrade(url, "0102")
        with connected(url) as connection:
            connection.execute(END_IT_NOW)
        await retiring.retire(connections)
        assert [one.left for one in await retiring.drop_ended(connections)] == [[]]
    downgrade(url, "0107")
    with connected(url) as connection:
        changed = connection.execute("UPDATE projector_g2.cart_items SET quantity = 2")
        assert changed.rowcount == 1
        assert connection.execute("SELECT quantity FROM carts.cart_items").fetchall() == [(2,)]
    downgrade(url)
    with connected(url) as connection:
        left = "SELECT nspname FROM pg_namespace WHERE nspname ~ '^(projector|carts)'"
        assert connection.execute(left).fetchall() == [("projector",)]
    migrate.upgrade(url)
    assert catalogue(url) == before


def test_epochs_of_a_new_database_are_above_those_of_an_older_one(empty_database_url: str) -> None:
    """A host that outlived its database must not hold the epoch of a range in the new one."""
    epochs = []
    for _ in range(2):
        migrate.upgrade(empty_database_url)
        with connected(empty_database_url) as connection:
            row = connection.execute("SELECT nextval('projector.epochs')").fetchone()
        assert row is not None
        epochs.append(row[0])
        downgrade(empty_database_url)
    assert epochs[0] < epochs[1]


def test_newer_schema_is_refused(database_url: str) -> None:
    with connected(database_url) as connection:
        connection.execute("UPDATE projector.alembic_version SET version_num = '9999'")
    for attempt in (migrate.upgrade, migrate.check):
        with pytest.raises(SchemaMismatch, match="newer than this program"):
            attempt(database_url)


@pytest.mark.parametrize("revision", ["0001", "0012"])
def test_a_schema_of_before_the_first_release_is_refused_with_what_to_do(
    database_url: str, revision: str
) -> None:
    with connected(database_url) as connection:
        connection.execute("UPDATE projector.alembic_version SET version_num = %s", [revision])
    for attempt in (migrate.upgrade, migrate.check):
        with pytest.raises(
            SchemaMismatch, match="DROP SCHEMA carts, projector, projector_g1 CASCADE"
        ):
            attempt(database_url)
    with connected(database_url) as connection:
        connection.execute("DROP SCHEMA carts, projector, projector_g1 CASCADE")
    assert migrate.upgrade(database_url) == schema.head()


def test_older_schema_is_named_with_its_remedy(database_url: str, empty_database_url: str) -> None:
    migrate.check(database_url)
    with pytest.raises(SchemaMismatch, match="projector db upgrade"):
        migrate.check(empty_database_url)


def test_no_server_and_no_database_are_told_apart(empty_database_url: str) -> None:
    with pytest.raises(SinkUnavailable):
        migrate.upgrade("postgresql://nobody:secret@127.0.0.1:9/none")
    missing = make_url(empty_database_url).set(database="projector_test_none")
    with pytest.raises(ConfigurationError, match="projector_test_none"):
        migrate.upgrade(missing.render_as_string(hide_password=False))


def test_every_view_and_column_says_what_it_is(database_url: str) -> None:
    with connected(database_url) as connection:
        columns = connection.execute(
            "SELECT c.relname, a.attname, col_description(c.oid, a.attnum),"
            " obj_description(c.oid, 'pg_class')"
            " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
            " WHERE c.relnamespace = 'carts'::regnamespace"
        ).fetchall()
    assert {row[0] for row in columns} == {view.name for view in VIEWS}
    assert {(row[0], row[1]) for row in columns} == {
        (view.name, column) for view in VIEWS for column in view.columns
    }
    assert all(column and view for _, _, column, view in columns)


def test_reader_may_read_the_views_and_nothing_else(database_url: str) -> None:
    with connected(database_url) as connection:
        connection.execute("SET ROLE carts_reader")
        for view in VIEWS:
            connection.execute(f"SELECT * FROM carts.{view.name}")
        connection.execute("SELECT carts.is_fresh('1 s'), carts.wait_until_includes('0:1', '0 s')")
        for forbidden in (
            "SELECT * FROM projector.ranges",
            "SELECT * FROM projector_g1.cart_items",
            "SELECT nextval('projector.epochs')",
            "DELETE FROM carts.cart_items",
            "UPDATE carts.cart_items SET quantity = 1",
            "CREATE TABLE carts.mine (a int)",
            "CREATE VIEW carts.mine AS SELECT 1",
            "CREATE TABLE projector.mine (a int)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(forbidden)


@pytest.mark.parametrize(
    "changes",
    [
        {"quantity": "'NaN'"},
        {"quantity": "'Infinity'"},
        {"unit_price": "'-Infinity'"},
        {"quantity": "1e18"},
        {"quantity": "NULL"},
        {"item": "NULL"},
        {"item": "''"},
        {"item": "repeat('x', 1025)"},
        {"cart_id": "''"},
        {"cart_id": "repeat('x', 1025)"},
        {"id": "''"},
        {"currency": "'eur'"},
        {"currency": "'EURO'"},
    ],
    ids=repr,
)
def test_last_net_under_the_rules(database_url: str, changes: Mapping[str, str]) -> None:
    good = {
        "epk": "1",
        "lsn": "1",
        "ts": "1",
        "lineage": "0",
        "deleted": "false",
        "cart_id": "'c'",
        "id": "'1'",
        "item": "'x'",
        "quantity": "1",
        "currency": "'EUR'",
        "etag": "''",
    }
    values = {**good, **changes}
    text = f"INSERT INTO projector_g1.cart_items ({', '.join(values)}) VALUES ({', '.join(values.values())})"
    with connected(database_url) as connection:
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute(text)
        connection.execute(
            f"INSERT INTO projector_g1.cart_items ({', '.join(good)}) VALUES ({', '.join(good.values())})"
        )


def test_keys_are_ordered_by_bytes_whatever_the_database_says(database_url: str) -> None:
    with connected(database_url) as connection:
        found = connection.execute(
            "SELECT count(*) FROM information_schema.columns WHERE table_schema LIKE 'projector%'"
            " AND column_name ~ '(cart_id|^id|item|bucket|epk|token)$' AND data_type = 'text'"
            " AND collation_name IS DISTINCT FROM 'C'"
        ).fetchone()
    assert found == (0,)


def versions() -> list[Path]:
    return [
        path for path in (schema.migrations_folder() / "versions").iterdir() if path.suffix == ".py"
    ]


def test_steps_are_numbered_and_say_whether_they_expand_or_contract() -> None:
    names = sorted(path.stem for path in versions())
    assert all(re.fullmatch(r"\d{4}_(expand|contract)_[a-z0-9_]+", name) for name in names)
    first = 100  # lower numbers were of programs that were never released
    assert [int(name[:4]) for name in names] == list(range(first, first + len(names)))


def test_the_short_look_tells_what_alembic_tells(
    database_url: str, empty_database_url: str, next_release: str
) -> None:
    before = schema.current(database_url)
    assert schema.current(database_url) == before
    assert schema.current(empty_database_url) is None
    assert schema.head() == next_release == migrate.upgrade(database_url)
    assert schema.current(database_url) == next_release


async def test_what_is_at_head_is_left_alone_and_all_else_is_migrated(
    empty_database_url: str,
) -> None:
    servers = Servers(clock=SystemClock())
    with pytest.raises(SchemaMismatch, match="projector db upgrade"):
        await database.check(empty_database_url, servers)
    assert await database.upgrade(empty_database_url, servers) == schema.head()
    assert await database.upgrade(empty_database_url, servers) == schema.head()
    await database.check(empty_database_url, servers)
    with connected(empty_database_url) as connection:
        connection.execute("UPDATE projector.alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaMismatch, match="newer"):
        await database.upgrade(empty_database_url, servers)


def test_a_host_that_finds_its_schema_does_not_load_what_changes_it(database_url: str) -> None:
    program = (
        "import sys, projector.wiring.service; from projector.wiring import database;"
        "database._upgrade(sys.argv[1]); print({'alembic', 'sqlalchemy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, database_url], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_a_server_that_is_down_is_an_outage(unused_tcp_port: int) -> None:
    with pytest.raises(SinkUnavailable):
        schema.current(f"postgresql://nobody@127.0.0.1:{unused_tcp_port}/none")
