"""What a session inherits from server, role, database or environment changes nothing."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from projector.core.errors import ConfigurationError, SinkUnavailable
from projector.postgres import migrate, schema
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.properties import PLANS, SESSION
from projector.postgres.sink import PostgresSink
from projector.wiring import database
from tests.fixtures.postgres import database_name
from tests.integration.postgres.carts import apply, begun, line, page, rows

# What a role, a database or a server may say to the contrary.
CONTRARY = {
    "client_encoding": "LATIN1",
    "search_path": "public, pg_catalog",
    "standard_conforming_strings": "off",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Asia/Kolkata",
    "quote_all_identifiers": "on",
    "exit_on_error": "on",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "row_security": "on",
    "idle_session_timeout": "5s",
    "statement_timeout": "5s",
    "lock_timeout": "1ms",
    "idle_in_transaction_session_timeout": "5s",
    "plan_cache_mode": "force_custom_plan",
    "jit": "on",
    "enable_seqscan": "on",
    "enable_hashjoin": "on",
    "enable_mergejoin": "on",
    "enable_nestloop": "off",
    "enable_indexscan": "off",
    "synchronous_commit": "off",
    "session_replication_role": "replica",
}
WRITTEN = page(
    line("Größe", "1", 1, item="Äpfel", quantity="2.50", price="1.10", currency="EUR"),
    line("Größe", "2", 2, item="日本", quantity="1", price=None),
)


@contextmanager
def said(url: str, properties: dict[str, str]) -> Iterator[None]:
    """Every new session of the database begins with these."""
    name = sql.Identifier(database_name(url))
    with psycopg.connect(url, autocommit=True) as connection:
        for key, value in properties.items():
            connection.execute(
                sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                    name,
                    sql.Identifier(key),
                    sql.SQL(value) if key == "search_path" else sql.Literal(value),
                )
            )
    yield


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[tuple[Connections, PostgresSink]]:
    async with Connections(ConnectionOptions(url=url, acquire_seconds=2)) as connections:
        yield connections, PostgresSink(connections)


async def test_nothing_a_database_says_reaches_our_sessions(database_url: str) -> None:
    with said(database_url, CONTRARY):
        async with opened(database_url) as (connections, sink):
            assert (await apply(sink, await begun(sink), WRITTEN)).upserted == 2
            async with connections.session() as session:
                found = {
                    name: (await rows(session, f"SHOW {name}"))[0][0] for name in (*SESSION, *PLANS)
                }
                others = await rows(
                    session,
                    "SELECT current_setting('session_replication_role'),"
                    " current_setting('client_encoding'), current_setting('synchronous_commit'),"
                    " current_setting('statement_timeout')",
                )
    path = {"search_path": "pg_catalog, projector, pg_temp"}
    assert found == {**SESSION, **PLANS, **path}
    assert others == [("origin", "UTF8", "local", "30s")]
    with psycopg.connect(database_url, client_encoding="UTF8", options="-c timezone=UTC") as reader:
        totals = reader.execute("SELECT cart_id, total_quantity FROM carts.cart_totals").fetchall()
        assert [(cart, str(total)) for cart, total in totals] == [("Größe", "3.5")]
        assert reader.execute("SELECT item FROM carts.item_totals ORDER BY item").fetchall() == [
            ("Äpfel",),
            ("日本",),
        ]


def test_migrations_and_looks_are_made_ready_too(empty_database_url: str) -> None:
    with said(empty_database_url, CONTRARY):
        assert migrate.upgrade(empty_database_url) == schema.current(empty_database_url)
        migrate.check(empty_database_url)


async def test_the_environment_does_not_decide_on_texts(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "WIN1252")
    monkeypatch.setenv("PGOPTIONS", "-c search_path=public -c array_nulls=off")
    async with opened(database_url) as (connections, sink):
        await apply(sink, await begun(sink), WRITTEN)
        async with connections.session() as session:
            found = await rows(session, "SELECT cart_id FROM carts.cart_totals")
    assert found == [("Größe",)]


@pytest.mark.parametrize("encoding", ["LATIN1", "EUC_JP", "SQL_ASCII"])
async def test_a_database_that_cannot_hold_every_text_is_refused(
    postgres_server_url: str, encoding: str
) -> None:
    name = f"projector_test_{secrets.token_hex(4)}"
    url = make_conninfo(postgres_server_url, dbname=name)
    with psycopg.connect(postgres_server_url, autocommit=True) as server:
        has_providers = server.info.server_version >= 150000
        provider = " LOCALE_PROVIDER libc" if has_providers else ""
        server.execute(
            f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'{provider}"
        )
        try:
            for way in (migrate.upgrade, schema.look):
                with pytest.raises(ConfigurationError, match=f"{encoding}.*ENCODING 'UTF8'"):
                    way(url)
            with pytest.raises(ConfigurationError, match=f"{encoding}.*ENCODING 'UTF8'"):
                async with opened(url) as (connections, _), connections.session():
                    pass
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def ordinary_role(url: str) -> Iterator[str]:
    """URL of the same database for a role that owns nothing and is no superuser."""
    name, password = f"plain_{secrets.token_hex(4)}", secrets.token_hex(8)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
        connection.execute(f"GRANT carts_reader TO {name}")
        try:
            yield make_conninfo(url, user=name, password=password)
        finally:
            connection.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


async def test_a_role_whose_triggers_sleep_is_refused_and_told_how_to_wake_them(
    database_url: str,
) -> None:
    with ordinary_role(database_url) as url:
        name = conninfo_to_dict(url)["user"]
        with psycopg.connect(database_url, autocommit=True) as admin:
            admin.execute(f"ALTER ROLE {name} SET session_replication_role = 'replica'")
            with pytest.raises(ConfigurationError, match="RESET session_replication_role"):
                schema.look(url)
            async with opened(url) as (connections, _):
                with pytest.raises(ConfigurationError, match="RESET session_replication_role"):
                    async with connections.session():
                        pass
                admin.execute(f"ALTER ROLE {name} RESET session_replication_role")
                async with connections.session() as session:  # without a new start
                    assert await rows(session, "SELECT 1") == [(1,)]


async def test_a_copy_that_was_not_counted_is_not_committed(
    database_url: str, connections: Connections
) -> None:
    sink = PostgresSink(connections, bulk=2)
    grant = await begun(sink)
    await apply(sink, grant, WRITTEN)  # the next one is copied
    many = page(*(line(f"c{n}", "1", n) for n in range(3, 8)))
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute("ALTER TABLE projector_g1.cart_items DISABLE TRIGGER cart_items_copied")
        assert schema.look(database_url).asleep == ["projector_g1.cart_items.cart_items_copied"]
        with pytest.raises(ConfigurationError, match="ENABLE TRIGGER cart_items_copied"):
            database._look(database_url)
        with pytest.raises(ConfigurationError, match="ENABLE TRIGGER cart_items_copied"):
            await apply(sink, grant, many)
        assert other.execute("SELECT count(*) FROM projector_g1.cart_items").fetchone() == (2,)
        other.execute("ALTER TABLE projector_g1.cart_items ENABLE TRIGGER cart_items_copied")
    assert schema.look(database_url).asleep == []
    assert (await apply(sink, grant, many)).upserted == 5
    async with connections.session() as session:
        assert await rows(session, "SELECT count(*) FROM carts.cart_totals") == [(6,)]


async def test_rows_that_others_drop_are_not_committed_as_if_they_were_there(
    database_url: str, connections: Connections
) -> None:
    sink = PostgresSink(connections, bulk=2)
    grant = await begun(sink)
    await apply(sink, grant, WRITTEN)
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute(
            "CREATE FUNCTION public.drop_row() RETURNS trigger LANGUAGE plpgsql"
            " AS 'BEGIN RETURN CASE WHEN NEW.cart_id = ''c7'' THEN NULL ELSE NEW END; END'"
        )
        other.execute(
            "CREATE TRIGGER meddles BEFORE INSERT ON projector_g1.cart_items"
            " FOR EACH ROW EXECUTE FUNCTION public.drop_row()"
        )
        with pytest.raises(ConfigurationError, match="no trigger of others"):
            await apply(sink, grant, page(*(line(f"c{n}", "1", n) for n in range(3, 9))))
        assert other.execute("SELECT count(*) FROM projector_g1.cart_items").fetchone() == (2,)


async def test_what_stops_all_writers_is_an_outage(database_url: str) -> None:
    with said(database_url, {"default_transaction_read_only": "on"}):
        async with opened(database_url) as (_, sink):
            with pytest.raises(SinkUnavailable) as outage:
                await begun(sink)
    assert outage.value.sqlstate == "25006"
