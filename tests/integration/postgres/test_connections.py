"""Outages, mistakes and broken sessions: what is raised, and that the next use works again."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy.engine import make_url

from projector.core.errors import ConfigurationError, SchemaMismatch, SinkUnavailable
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.sink import PostgresSink
from tests.integration.postgres.carts import apply, begun, claim, line, page, rows


async def opened(url: str) -> None:
    options = ConnectionOptions(url=url, acquire_seconds=1)
    async with Connections(options) as connections:
        await PostgresSink(connections).open(claim())


async def test_no_server_is_an_outage_and_shows_no_password() -> None:
    with pytest.raises(SinkUnavailable) as outage:
        await opened("postgresql://somebody:secret@127.0.0.1:9/none")
    assert "secret" not in str(outage.value)
    assert "refused" in str(outage.value)
    assert "secret" not in repr(ConnectionOptions(url="postgresql://somebody:secret@host/none"))


async def test_missing_database_needs_a_person(empty_database_url: str) -> None:
    missing = make_url(empty_database_url).set(database="projector_test_none")
    with pytest.raises(ConfigurationError, match="projector_test_none"):
        await opened(missing.render_as_string(hide_password=False))


async def test_database_without_tables_needs_an_upgrade(empty_database_url: str) -> None:
    with pytest.raises(SchemaMismatch, match="projector db upgrade"):
        await opened(empty_database_url)


async def test_closed_connections_are_an_outage(connections: Connections) -> None:
    await connections.close()
    with pytest.raises(SinkUnavailable):
        await PostgresSink(connections).open(claim())


async def test_silent_server_is_given_up(connections: Connections) -> None:
    with pytest.raises(SinkUnavailable, match="did not answer"):
        async with connections.session(seconds=0.1) as session:
            await session.execute("SELECT pg_sleep(10)")


async def test_statement_timeout_is_an_outage(connections: Connections) -> None:
    async def sleepy() -> None:
        async with connections.transaction() as session:
            await session.execute("SET LOCAL statement_timeout = '20ms'")
            await session.execute("SELECT pg_sleep(10)")

    with pytest.raises(SinkUnavailable) as outage:
        await sleepy()
    assert outage.value.sqlstate == "57014"


async def test_sessions_killed_by_the_server_are_replaced(
    connections: Connections, sink: PostgresSink, database_url: str
) -> None:
    grant = await begun(sink)
    async with connections.session(), connections.session():
        pass  # two idle sessions now
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:
        await other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND application_name = 'projector'"
        )
    with pytest.raises(SinkUnavailable):
        await apply(sink, grant, page(line("a", "1", 1)))
    assert (await apply(sink, grant, page(line("a", "1", 1)))).upserted == 1


async def test_read_only_server_is_an_outage(
    connections: Connections, sink: PostgresSink, database_url: str
) -> None:
    grant = await begun(sink)
    async with connections.session() as session:
        await session.execute("SET default_transaction_read_only = on")
        name = await rows(session, "SELECT current_database()")
    assert name
    with pytest.raises(SinkUnavailable) as outage:
        await apply(sink, grant, page(line("a", "1", 1)))
    assert outage.value.sqlstate == "25006"
    async with connections.session() as session:
        await session.execute("SET default_transaction_read_only = off")
        assert await rows(session, "SELECT count(*) FROM projector.quarantine") == [(0,)]
