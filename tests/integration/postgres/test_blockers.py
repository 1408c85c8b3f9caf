"""Who keeps sessions of ours waiting is told by name, however PostgreSQL is locked."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from projector.postgres.blockers import blockers
from projector.postgres.connections import ConnectionOptions, Connections

pytestmark = pytest.mark.postgres

LOCK = "LOCK TABLE projector.ranges IN ACCESS EXCLUSIVE MODE"


async def test_who_holds_a_lock_that_we_wait_for_is_named(database_url: str) -> None:
    options = ConnectionOptions(url=database_url, application_name="projector host-1")
    holder = await psycopg.AsyncConnection.connect(
        database_url.replace("+psycopg", ""), application_name="psql"
    )
    async with holder, Connections(options) as connections:
        assert await blockers(connections) == []
        await holder.execute(LOCK)
        async with connections.session() as session:
            waiting = asyncio.ensure_future(session.execute("TABLE projector.ranges"))
            found = await blockers(connections)
            while not found:  # the server has not taken the statement up yet
                found = await blockers(connections)
            assert [(one.pid, one.application, one.waiting) for one in found] == [
                (holder.info.backend_pid, "psql", 1)
            ]
            assert found[0].role == holder.info.user
            assert found[0].waited_seconds > 0
            await holder.rollback()
            await waiting
        assert await blockers(connections) == []
