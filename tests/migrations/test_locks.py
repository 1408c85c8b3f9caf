"""Who waits for whom while the schema changes: nobody for long, and nobody for a stranger."""

from __future__ import annotations

import subprocess
import sys

import psycopg
import pytest
from structlog.testing import capture_logs
from typing_extensions import override

from projector.core.errors import SchemaBusy
from projector.postgres import migrate, schema
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.housekeeping import turn
from projector.postgres.sink import PostgresSink
from projector.processor.clock import SystemClock
from projector.wiring import database
from projector.wiring.servers import Servers
from tests.integration.postgres.carts import claim

LOCKED = "LOCK TABLE projector.alembic_version IN SHARE ROW EXCLUSIVE MODE"


def test_upgrade_at_head_takes_no_lock(database_url: str) -> None:
    with psycopg.connect(database_url) as other:
        other.execute(LOCKED)
        assert migrate.upgrade(database_url) == schema.head()


def test_an_upgrade_behind_an_open_transaction_names_it_and_lets_everybody_pass(
    database_url: str, next_release: str
) -> None:
    before = schema.current(database_url)
    with psycopg.connect(database_url) as analyst:
        analyst.execute("SELECT * FROM carts.cart_totals")
        analyst.execute("SELECT * FROM projector.housekeeping_runs")
        with pytest.raises(
            SchemaBusy, match=rf"pid {analyst.info.backend_pid} \(user \w+, \d+ s\)"
        ):
            migrate.upgrade(database_url)
        with psycopg.connect(database_url) as reader:
            reader.execute("SET lock_timeout = '1ms'")
            reader.execute("SELECT * FROM carts.cart_totals")
        assert schema.current(database_url) == before
    assert migrate.upgrade(database_url) == next_release


async def test_an_upgrade_waits_and_says_so_until_it_is_done(
    database_url: str, next_release: str
) -> None:
    with psycopg.connect(database_url) as analyst:
        analyst.execute("SELECT * FROM projector.housekeeping_runs")

        class EndsAfterTwoWaits(SystemClock):
            waits = 0

            @override
            async def sleep(self, seconds: float) -> None:
                self.waits += 1
                if self.waits == 2:
                    analyst.rollback()

        with capture_logs() as told:
            revision = await database.upgrade(database_url, Servers(clock=EndsAfterTwoWaits()))
    assert revision == next_release
    events = [entry["event"] for entry in told]
    assert events[:2] == ["schema_busy", "schema_busy"]
    assert events[-1] == "schema_ready"
    assert "target_back" not in events


async def test_advisory_locks_of_others_stop_nobody(
    postgres_server_url: str, empty_database_url: str
) -> None:
    """Whoever may connect may take every one of them."""
    with psycopg.connect(empty_database_url) as other:
        for key in (0x70726F6A65637431, 0x70726F6A65637432, 0x70726A34):
            other.execute("SELECT pg_advisory_lock(%s)", [key])
        migrate.upgrade(empty_database_url)
        async with Connections(ConnectionOptions(url=empty_database_url)) as connections:
            await PostgresSink(connections).open(claim())
            async with turn(connections, "purge") as mine:
                assert mine is not None


@pytest.mark.slow
def test_processes_that_start_together_migrate_once(empty_database_url: str) -> None:
    program = (
        "import asyncio, sys; from projector.processor.clock import SystemClock;"
        "from projector.wiring import database, servers;"
        "waits = servers.Servers(clock=SystemClock());"
        "print(asyncio.run(database.upgrade(sys.argv[1], waits)))"
    )
    command = [sys.executable, "-c", program, empty_database_url]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    outcomes = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], outcomes
    assert {out.split()[-1] for out, _ in outcomes} == {schema.head()}
