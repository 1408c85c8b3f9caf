"""One host in the test's own process, against the emulator and a real PostgreSQL."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from structlog.testing import capture_logs
from typing_extensions import override

from cosmos_emulator import EmulatorServer
from cosmos_emulator.faults import parse_fault
from projector.cli.failures import root_cause
from projector.core.errors import (
    ConfigurationError,
    PreconditionFailed,
    ProjectorError,
    SchemaMismatch,
    SettingsError,
    SinkRefused,
    SourceMissing,
)
from projector.core.names import LeaseToken
from projector.ports.feed import Applied
from projector.postgres import migrate
from projector.processor.clock import SystemClock
from projector.processor.notifications import SilentObserver
from projector.settings import Settings
from projector.telemetry.logs import Event
from projector.wiring.opening import account
from projector.wiring.service import Service
from tests.integration.wiring.support import NO_SERVER, Shop, settings

pytestmark = pytest.mark.postgres


async def job_failure(chosen: Settings) -> BaseException:
    async with asyncio.timeout(120):
        with pytest.raises((ProjectorError, ExceptionGroup)) as caught:
            await Service(chosen).run(until_caught_up=True)
    return root_cause(caught.value)


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - the log has no event to wait for
            await asyncio.sleep(0.02)


async def test_a_run_until_caught_up_delivers_everything_and_releases(shop: Shop) -> None:
    shop.open(50)
    tally = await Service(shop.settings()).run(until_caught_up=True)
    assert (tally.delivered, tally.upserted) == (50, 50)
    tally = await Service(shop.settings()).run(until_caught_up=True)
    assert tally.delivered == 0


async def test_a_run_whose_last_answer_is_slow_begins_the_history_all_the_same(shop: Shop) -> None:
    shop.open(50)
    slow = {"operation": "change_feed", "delay_ms": 1500, "times": 1}

    class Dawdler(SilentObserver):
        @override
        def applied(self, token: LeaseToken, applied: Applied, *, seconds: float) -> None:
            shop.emulator.faults.install(parse_fault({**slow, "range": token}))

    await Service(shop.settings(), observer=Dawdler()).run(until_caught_up=True)
    with psycopg.connect(shop.url) as connection:
        assert connection.execute("SELECT found FROM carts.history").fetchall() == [(50,)]


async def test_a_job_beside_a_host_does_without_the_port_and_a_second_host_is_refused(
    shop: Shop,
) -> None:
    shop.open(3)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        chosen = shop.settings(web_port=taken.getsockname()[1])
        with capture_logs() as told:
            tally = await Service(chosen).run(until_caught_up=True)
        assert tally.delivered == 3
        assert any("PROJECTOR_WEB_PORT" in str(entry.get("error")) for entry in told)
        with pytest.raises(ConfigurationError, match="PROJECTOR_WEB_PORT"):
            await Service(chosen).run()


async def test_a_stop_while_the_target_is_down_ends_the_start(emulator: EmulatorServer) -> None:
    service = Service(settings(emulator, NO_SERVER))
    with capture_logs() as told:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(service.run())
            await until(lambda: any(entry["event"] == Event.TARGET_UNAVAILABLE for entry in told))
            service.request_stop()
    assert running.result().delivered == 0
    assert "password" not in str(told)


async def test_a_stop_while_the_source_is_down_ends_the_start(database_url: str) -> None:
    emulator = EmulatorServer()
    await emulator.start()
    wanted = settings(emulator, database_url)
    await emulator.stop()
    service = Service(wanted)
    with capture_logs() as told:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(service.run())
            await until(lambda: any(entry["event"] == Event.SOURCE_UNAVAILABLE for entry in told))
            service.request_stop()
    assert running.result().delivered == 0


async def test_a_cancelled_run_stays_cancelled(emulator: EmulatorServer) -> None:
    service = Service(settings(emulator, NO_SERVER))
    running = asyncio.create_task(service.run())
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_without_migration_an_empty_database_is_refused(
    emulator: EmulatorServer, empty_database_url: str
) -> None:
    with pytest.raises(SchemaMismatch, match="projector db upgrade"):
        await Service(settings(emulator, empty_database_url)).run(migrate=False)


async def test_mistakes_of_configuration_end_the_start(shop: Shop) -> None:
    shop.open()
    with pytest.raises(SourceMissing, match=r"'card'.*PROJECTOR_COSMOS_CONTAINER"):
        await Service(shop.settings(cosmos_container="card")).run()
    with pytest.raises(ConfigurationError, match="PROJECTOR_COSMOS_KEY"):
        await Service(shop.settings(cosmos_key="b3RoZXI=")).run()
    with pytest.raises(SettingsError, match="PROJECTOR_COSMOS_ENDPOINT"):
        await Service(shop.settings(cosmos_endpoint=None)).run()


@pytest.mark.parametrize(
    "takes_away",
    [
        "ALTER SCHEMA projector_g1 OWNER TO {other}; REVOKE ALL ON SCHEMA projector_g1 FROM {role}",
        (
            "ALTER TABLE projector.ranges OWNER TO {other}; REVOKE ALL ON projector.ranges FROM {role};"
            " GRANT SELECT ON projector.ranges TO {role}"
        ),
    ],
    ids=["no schema of rows", "reads alone"],
)
async def test_a_job_without_rights_on_tables_ends_with_one_line(
    shop: Shop, empty_database_url: str, takes_away: str
) -> None:
    shop.open(3)
    with limited_role(empty_database_url) as (url, role):
        await asyncio.to_thread(migrate.upgrade, url)
        with psycopg.connect(empty_database_url, autocommit=True) as admin:
            admin.execute(takes_away.format(role=role, other="postgres").encode())
        with pytest.raises(PreconditionFailed, match=r"lacks .* on .*; GRANT "):
            async with asyncio.timeout(60):
                await Service(shop.settings(database_url=url)).run(until_caught_up=True)


async def test_a_job_whose_rights_are_taken_away_ends_with_one_line(
    shop: Shop, empty_database_url: str
) -> None:
    shop.open(3)
    with limited_role(empty_database_url) as (url, role):
        await asyncio.to_thread(migrate.upgrade, url)

        def take_away() -> None:
            with psycopg.connect(empty_database_url, autocommit=True) as admin:
                admin.execute(b"ALTER TABLE projector.ranges OWNER TO CURRENT_USER")
                admin.execute(f"REVOKE ALL ON projector.ranges FROM {role}".encode())

        class Thief(SilentObserver):
            @override
            async def acquired(self, token: LeaseToken) -> None:
                await asyncio.to_thread(take_away)

        service = Service(shop.settings(database_url=url), observer=Thief())
        with capture_logs() as told, pytest.raises(SinkRefused):
            async with asyncio.timeout(60):
                await service.run(until_caught_up=True)
    reasons = {entry["reason"] for entry in told if entry["event"] == "lease_released"}
    assert "source_failed" not in reasons


@contextmanager
def limited_role(database_url: str) -> Iterator[tuple[str, str]]:
    """A role that owns the database and no more; the URL for it, and its name."""
    role = f"limited_{secrets.token_hex(4)}"
    parts = conninfo_to_dict(database_url)
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x' CREATEROLE".encode())
        admin.execute(f"ALTER DATABASE {parts['dbname']} OWNER TO {role}".encode())
        try:
            yield make_conninfo(database_url, user=role, password="x"), role
        finally:
            admin.execute(f"ALTER DATABASE {parts['dbname']} OWNER TO CURRENT_USER".encode())
            admin.execute(f"REASSIGN OWNED BY {role} TO CURRENT_USER".encode())
            admin.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


async def test_another_start_from_is_obeyed_before_the_run_says_caught_up(shop: Shop) -> None:
    shop.open(50)
    anchored = Service(shop.settings(start_from="now"))
    assert (await anchored.run(until_caught_up=True)).delivered == 0
    with capture_logs() as told:
        tally = await Service(shop.settings()).run(until_caught_up=True)
    assert tally.upserted == 50
    names = [entry["event"] for entry in told]
    assert "range_started_over" not in names[names.index("caught_up") :]


async def test_start_in_the_future_ends_the_start(emulator: EmulatorServer) -> None:
    wanted = settings(emulator, NO_SERVER, start_from="2999-01-01T00:00:00Z")
    with pytest.raises(ConfigurationError, match=r"PROJECTOR_START_FROM.*lies in the future"):
        await Service(wanted).run()


LEASES = {"path_prefix": "/dbs/acme-webstore/colls/lease"}
MISTAKES: dict[str, dict[str, Any]] = {
    "key": {"operation": "read_account", "status": 401},
    "feed: key": {"operation": "change_feed", "status": 401},
    "feed: right": {"operation": "change_feed", "status": 403},
    "feed: role": {"operation": "change_feed", "status": 403, "substatus": 5300},
    "feed: container": {"operation": "change_feed", "status": 404},
    "feed: database": {"operation": "change_feed", "status": 404, "substatus": 1003},
    "feed: malformed": {"operation": "change_feed", "status": 400},
    "partitions: right": {"operation": "read_pkranges", "status": 403},
    "leases: container": {"operation": "create_container", "status": 403},
    "leases: lists": {"operation": "query_items", "status": 403, **LEASES},
    "leases: reads": {"operation": "read_item", "status": 403, **LEASES},
    "leases: writes": {"operation": "replace_item", "status": 403, **LEASES},
    "leases: role": {"operation": "replace_item", "status": 403, "substatus": 5300, **LEASES},
    "leases: creates": {"operation": "create_item", "status": 403, **LEASES},
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
async def test_a_job_ends_with_one_line_on_every_mistake(
    shop: Shop, mistake: dict[str, Any]
) -> None:
    shop.open(9)
    shop.emulator.faults.install(parse_fault(mistake))
    error = await job_failure(shop.settings())
    assert isinstance(error, ConfigurationError | SourceMissing)
    assert "\n" not in str(error)


async def test_a_job_that_meets_a_mistake_later_gives_its_leases_back(shop: Shop) -> None:
    shop.open(9)
    chosen = shop.settings()
    await Service(chosen).run(until_caught_up=True)
    shop.emulator.faults.install(parse_fault({"operation": "change_feed", "status": 403}))
    assert "refuses access" in str(await job_failure(chosen))
    shop.emulator.faults.clear()
    async with account(chosen, clock=SystemClock()) as opened:
        leases = await opened.leases.list_leases()
    assert leases
    assert {lease.owner for lease in leases} == {None}
