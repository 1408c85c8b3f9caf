"""Outages, mistakes and broken sessions: what is raised, and that the next use works again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool
from sqlalchemy.engine import make_url

from projector.core.errors import ConfigurationError, SchemaMismatch, SinkUnavailable
from projector.ports.feed import Grant
from projector.postgres import migrate, schema
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.sink import PostgresSink
from tests.integration.postgres.carts import apply, claim, line, page, rows


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
    connections: Connections, sink: PostgresSink, database_url: str, grant: Grant
) -> None:
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


async def test_sessions_of_a_server_that_became_read_only_are_left_at_once(
    connections: Connections, sink: PostgresSink, database_url: str, grant: Grant
) -> None:
    """The old primary lives on read-only behind open connections; its name leads elsewhere by now."""
    async with connections.session() as first, connections.session() as second:
        for session in (first, second):
            await session.execute("SET default_transaction_read_only = on")
    with pytest.raises(SinkUnavailable) as outage:
        await apply(sink, grant, page(line("a", "1", 1)))
    assert outage.value.sqlstate == "25006"
    assert (await apply(sink, grant, page(line("a", "1", 1)))).upserted == 1
    async with connections.session() as session:
        assert await rows(session, "SELECT count(*) FROM projector.quarantine") == [(0,)]


async def test_a_plan_that_outlived_its_session_does_not_hold_the_session(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    """As behind a pooler: the server forgot what the driver believes to be prepared."""
    await apply(sink, grant, page(line("a", "1", 1)))
    async with connections.session() as session:
        await session.execute("DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$")
    with pytest.raises(SinkUnavailable) as outage:
        await apply(sink, grant, page(line("a", "1", 2)))
    assert outage.value.sqlstate == "26000"
    assert (await apply(sink, grant, page(line("a", "1", 2)))).upserted == 1


async def test_whoever_waits_for_a_connection_makes_none(database_url: str) -> None:
    """The bound holds with many ranges behind a locked table."""
    options = ConnectionOptions(
        url=database_url, connections=2, acquire_seconds=0.2, application_name="bounded"
    )
    async with Connections(options) as connections:
        async with connections.session(), connections.session() as session:
            await session.execute("SELECT pg_stat_reset()")

            async def wait() -> None:
                with pytest.raises(SinkUnavailable, match="all 2 connections"):
                    async with connections.session():
                        pass

            await asyncio.gather(*(wait() for _ in range(20)))
            made = await rows(
                session, "SELECT sessions FROM pg_stat_database WHERE datname = current_database()"
            )
        assert made <= [(2,)]


async def test_all_who_wait_for_a_server_that_refuses_ask_it_once() -> None:
    async with speaking_german() as (url, asked):
        options = ConnectionOptions(url=url, acquire_seconds=0.5)
        async with Connections(options) as connections:

            async def wait() -> None:
                with pytest.raises(ConfigurationError, match="refuses"):
                    async with connections.session():
                        pass

            await asyncio.gather(*(wait() for _ in range(20)))
    assert len(asked) < 10  # the pool's own few attempts, and the question why


async def test_a_wrong_password_is_a_mistake_in_any_language() -> None:
    async with speaking_german() as (url, _):
        with pytest.raises(ConfigurationError, match="refuses") as mistake:
            await asyncio.to_thread(schema.current, url)
        with pytest.raises(ConfigurationError, match="refuses"):
            await asyncio.to_thread(migrate.upgrade, url)
        assert "geheim" not in str(mistake.value)


async def test_a_server_that_starts_up_is_an_outage_in_any_language() -> None:
    async with speaking_german(sqlstate="57P03") as (url, _):
        with pytest.raises(SinkUnavailable) as outage:
            await asyncio.to_thread(schema.current, url)
    assert outage.value.sqlstate == "57P03"


@pytest.mark.parametrize("url", ["postgresql://127.0.0.1/x?passwrd=1", "nonsense"])
def test_an_address_that_cannot_be_read_is_a_mistake(url: str) -> None:
    with pytest.raises(ConfigurationError, match="PROJECTOR_DATABASE_URL"):
        schema.current(url)


@asynccontextmanager
async def speaking_german(sqlstate: str = "28P01") -> AsyncIterator[tuple[str, list[int]]]:
    """A server that refuses everybody, in German; the URL, and an entry per connection."""
    asked: list[int] = []
    fields = f"SFATAL\0VFATAL\0C{sqlstate}\0MPasswort-Authentifizierung fehlgeschlagen\0\0".encode()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(1)
        size = int.from_bytes(await reader.readexactly(4))
        await reader.readexactly(size - 4)
        writer.write(b"E" + (len(fields) + 4).to_bytes(4) + fields)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield (
            f"postgresql://anna:geheim@127.0.0.1:{port}/shop?sslmode=disable&gssencmode=disable",
            asked,
        )


async def test_sessions_in_use_are_cut_when_nobody_waits_any_longer(database_url: str) -> None:
    async with Connections(ConnectionOptions(url=database_url)) as connections:
        asking = asyncio.Event()

        async def ask() -> None:
            async with connections.session() as session:
                asking.set()
                await session.execute("SELECT pg_sleep(600)")

        async with asyncio.timeout(60):
            waiting = asyncio.create_task(ask())
            await asking.wait()
            await asyncio.sleep(0)
            connections.hang_up()
            with pytest.raises(SinkUnavailable):
                await waiting
            with pytest.raises(SinkUnavailable, match="closed"):
                await ask()


async def test_a_cancellation_that_comes_with_a_session_is_not_lost(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = AsyncConnectionPool.getconn

    async def given_and_cancelled(pool: AsyncConnectionPool[Any]) -> Any:
        session = await real(pool)
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        with suppress(asyncio.CancelledError):  # as the pool does when both come at once
            await asyncio.sleep(0)
        return session

    async def use(connections: Connections) -> None:
        async with connections.session():
            raise AssertionError("a cancelled task went on")

    async with Connections(ConnectionOptions(url=database_url, connections=1)) as connections:
        with monkeypatch.context() as patched:
            patched.setattr(AsyncConnectionPool, "getconn", given_and_cancelled)
            with pytest.raises(asyncio.CancelledError):
                await asyncio.create_task(use(connections))
        async with connections.session():  # the only session was given back
            pass
