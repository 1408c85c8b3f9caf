"""What a host refuses to start with: the wrong container, the wrong key, a target it may not use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs

from cosmos_emulator.faults import Fault
from projector.cli.failures import root_cause
from projector.core.errors import (
    OtherSource,
    PreconditionFailed,
    SinkRefused,
    SourceRecreated,
    TooManyRejected,
)
from projector.operations.checks import Verdict
from projector.operations.leases import Consent
from projector.processor.clock import SystemClock
from projector.settings import Settings
from projector.wiring import commands
from projector.wiring.commands import prepared_reset
from projector.wiring.service import Service
from tests.integration.wiring.support import DATABASE, Shop, delivered

pytestmark = pytest.mark.postgres


def fill(target: Any, count: int, **fields: Any) -> None:
    for number in range(count):
        target.upsert(
            {"id": str(number), "cartId": f"c{number % 50}", "item": "x", "quantity": 1} | fields
        )


async def reset(wanted: Settings, **consent: Any) -> None:
    opening = prepared_reset(wanted, clock=SystemClock(), token=None, consent=Consent(**consent))
    async with opening as prepared:
        await prepared.carry_out()


@asynccontextmanager
async def sql(url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        yield connection


def is_too_many(error: BaseException) -> bool:
    cause = root_cause(error)
    return isinstance(cause, TooManyRejected) and "bad_item" in str(cause)


async def rows(url: str) -> int:
    async with sql(url) as connection:
        found = await (await connection.execute("SELECT count(*) FROM carts.cart_items")).fetchone()
    assert found
    return int(found[0])


async def test_a_name_that_is_mistyped_is_not_taken_for_a_recreated_container(shop: Shop) -> None:
    wanted = shop.settings()
    fill(shop.open(), 3)
    fill(shop.open(container="card"), 1)
    await delivered(wanted)
    mistyped = shop.settings(cosmos_container="card")
    for attempt in (delivered(mistyped), Service(mistyped).run(), reset(mistyped, new_source=True)):
        with pytest.raises(OtherSource, match=r"copies \S+/cart; your settings say \S+/card:"):
            await attempt
    with pytest.raises(Exception, match="type the name of the container"):
        await reset(mistyped, other_source="card")
    found = await commands.doctor(mistyped, clock=SystemClock())
    told = next(one for one in found if one.check == "copy")
    assert told.verdict is Verdict.FAILED
    assert await rows(shop.url) == 3

    name = str(told.detail).split("--accept-other-source ")[1]
    await reset(mistyped, other_source=name)
    await delivered(mistyped)
    assert await rows(shop.url) == 1
    with pytest.raises(OtherSource):
        await delivered(wanted)


async def test_a_recreated_container_is_followed_as_before_and_keeps_its_name(shop: Shop) -> None:
    wanted = shop.settings()
    fill(shop.open(), 3)
    await delivered(wanted)
    shop.emulator.engine.delete_database(DATABASE)
    fill(shop.open(), 2)
    with pytest.raises(SourceRecreated, match=r"/acme-webstore/cart.*--accept-new-source"):
        await reset(wanted)
    await reset(wanted, new_source=True)
    await delivered(wanted)
    assert await rows(shop.url) == 2
    fill(shop.open(container="card"), 1)
    with pytest.raises(OtherSource):
        await delivered(shop.settings(cosmos_container="card"))


async def test_names_of_another_container_are_forgotten_with_it(shop: Shop) -> None:
    wanted = shop.settings()
    fill(shop.open(), 3)
    await delivered(wanted)
    async with sql(shop.url) as connection:
        await connection.execute("UPDATE projector.source SET container_rid = 'AAAAAAAAAAA='")
    with pytest.raises(SourceRecreated):
        await reset(wanted)
    await reset(wanted, new_source=True)
    await delivered(wanted)
    async with sql(shop.url) as connection:
        cursor = await connection.execute(
            "SELECT container_name, key_path, projection FROM projector.source"
        )
        assert await cursor.fetchone() == ("cart", "/cartId", "carts")


@pytest.mark.parametrize("key", ["/id", "/customerId"])
async def test_a_container_with_another_partition_key_is_refused(shop: Shop, key: str) -> None:
    fill(shop.open(key=key), 5)
    with pytest.raises(PreconditionFailed, match=f"partitioned on {key}, not on /cartId"):
        await shop.delivered()
    assert await rows(shop.url) == 0


async def test_documents_that_cannot_be_meant_stop_the_host_before_they_are_kept(
    shop: Shop,
) -> None:
    fill(shop.open(), 1_200, item=None)
    wanted = shop.settings(page_size=200)
    for _ in range(2):
        with pytest.raises((TooManyRejected, ExceptionGroup), check=is_too_many):
            await delivered(wanted)
        async with sql(shop.url) as connection:
            cursor = await connection.execute("SELECT count(*) FROM projector.quarantine")
            found = await cursor.fetchone()
        assert found
        assert found[0] <= 500
    allowed = shop.settings(max_rejected_share=1)
    assert (await Service(allowed).run(until_caught_up=True)).rejected >= 700


async def test_bad_documents_among_good_ones_stop_nobody(shop: Shop) -> None:
    target = shop.open()
    fill(target, 700)
    for number in range(450):
        target.upsert({"id": f"bad-{number}", "cartId": f"c{number}", "quantity": 1})
    assert await delivered(shop.settings(page_size=100)) == 1_150
    for number in range(450, 1_500):
        target.upsert({"id": f"bad-{number}", "cartId": f"c{number}", "quantity": 1})
    assert await shop.delivered() == 1_050


async def test_a_role_that_may_only_read_is_told_its_grants(shop: Shop) -> None:
    shop.open()
    role = f"reads_{shop.url.rsplit('/', 1)[1][-12:]}"
    async with sql(shop.url) as connection:
        await connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'reads'")
        try:
            for schema in ("projector", "projector_g1"):
                await connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
                await connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}")
            rest = shop.url.split("@", 1)[1]
            poor = shop.settings(database_url=f"postgresql://{role}:reads@{rest}")
            with pytest.raises(PreconditionFailed, match=r"lacks .*GRANT SELECT") as told:
                await delivered(poor)
            for statement in str(told.value).split("; ")[1:]:
                await connection.execute(statement)
            assert await delivered(poor) == 0
            assert await delivered(poor) == 0
            # As logical replication leaves them.
            await connection.execute("SELECT setval('projector.ranges_id_seq', 1, false)")
            with pytest.raises(SinkRefused, match="GRANT UPDATE ON ALL SEQUENCES") as behind:
                await delivered(poor)
            await connection.execute(str(behind.value).split(": ")[-1])
            assert await delivered(poor) == 0
            await connection.execute(f"REVOKE ALL ON SEQUENCE projector.ranges_id_seq FROM {role}")
            with pytest.raises(PreconditionFailed, match=r"lacks USAGE on projector.ranges_id_seq"):
                await delivered(poor)
        finally:
            await connection.execute(f"DROP OWNED BY {role}")
            await connection.execute(f"DROP ROLE {role}")


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("CREATE SCHEMA carts CREATE TABLE orders (id int)", "schema carts .* holds orders"),
        ("CREATE SCHEMA projector CREATE VIEW mine AS SELECT 1", "schema projector .* holds mine"),
        ("CREATE SCHEMA projector_g1", "schema projector_g1 is there already"),
    ],
    ids=["views", "control", "rows"],
)
async def test_a_schema_of_somebody_else_is_named_before_anything_is_made(
    shop: Shop, empty_database_url: str, statement: str, told: str
) -> None:
    shop.open()
    async with sql(empty_database_url) as connection:
        await connection.execute(statement)
    with pytest.raises(PreconditionFailed, match=told):
        await delivered(shop.settings(database_url=empty_database_url))


async def test_a_view_of_the_contract_that_is_gone_is_named(shop: Shop) -> None:
    shop.open()
    async with sql(shop.url) as connection:
        await connection.execute("DROP VIEW carts.item_totals CASCADE")
    with pytest.raises(PreconditionFailed, match=r"carts\.item_totals"):
        await shop.delivered()


async def test_documents_and_leases_that_expire_by_default_are_warned_of(shop: Shop) -> None:
    shop.open(ttl=3_600)
    shop.open(container="lease", key="/id", ttl=600)
    wanted = shop.settings()
    with capture_logs() as lines:
        await delivered(wanted)
    logged = {one["check"] for one in lines if one["event"] == "precondition_doubtful"}
    expected = {"time to live", "time to live of the leases"}
    assert logged >= expected
    found = await commands.doctor(wanted, clock=SystemClock())
    assert {one.check for one in found if one.verdict is Verdict.WARNING} >= expected


async def test_a_start_in_the_middle_of_a_split_goes_on(shop: Shop) -> None:
    """Partitions that move are the daily bread of hosts; a job that starts then is no failure."""
    fill(shop.open(), 3)
    cart = f"/dbs/{DATABASE}/colls/cart/docs"
    for operation, times in (("change_feed", 4), ("query_items", 1)):
        shop.emulator.faults.install(
            Fault(operation=operation, path_prefix=cart, status=410, substatus=1007, times=times)
        )
    assert await shop.delivered() == 3
