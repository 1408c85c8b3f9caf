from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.cosmos import PartitionKey
from structlog.testing import capture_logs
from typing_extensions import override

from projector.core.errors import ConfigurationError, SchemaMismatch
from projector.operations.checks import Finding, Verdict, failed
from projector.postgres.readers import let_in
from projector.processor.clock import SystemClock
from projector.wiring import commands
from tests.fixtures.postgres import database_name, new_database
from tests.integration.cosmos.support import CART
from tests.integration.verify.support import Pair

AHEAD_SECONDS = 3600.0

# The log with its months, and the views.
THEIRS = """
SELECT CASE relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, oid::regclass::text FROM pg_class
WHERE relnamespace = 'carts'::regnamespace AND relkind = 'v'
  OR relnamespace = 'projector'::regnamespace AND relname LIKE 'cart_events%%' AND relkind IN ('r', 'p')"""


async def findings(pair: Pair, *, clock: SystemClock | None = None) -> dict[str, Finding]:
    found = await commands.doctor(pair.settings, clock=clock or SystemClock())
    return {one.check: one for one in found}


class Fast(SystemClock):
    """A machine whose clock is an hour ahead."""

    @override
    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=AHEAD_SECONDS)


async def test_a_sound_installation_is_healthy(pair: Pair, role: str) -> None:
    await pair.lines(5)
    await pair.drain()
    pair.values["reader_role"] = role
    await asyncio.to_thread(let_in, pair.url, role)  # `carts_reader` reads other tests, too
    found = await findings(pair)
    assert {one.verdict for one in found.values()} == {Verdict.OK}, found
    assert set(found) == {
        "account and database",
        "container",
        "partition key",
        "time to live",
        "clock of Cosmos DB",
        "change feed",
        "queries and point reads",
        "lease container",
        "PostgreSQL",
        "clock of PostgreSQL",
        "encryption",
        "connection pooler",
        "PostgreSQL rights",
        "tables",
        "schema",
        "views",
        f"role {role}",
        "copy",
    }
    assert not failed(list(found.values()))


async def test_it_leaves_nothing_in_the_lease_container(pair: Pair) -> None:
    await pair.drain()
    async with pair.copy() as copy:
        before = len(await copy.opened.leases.list_leases())
        requests = await pair.world.requests()
    await findings(pair)
    after = await pair.world.requests()
    assert after["delete_item"] == requests.get("delete_item", 0) + 1
    async with pair.copy() as copy:
        assert len(await copy.opened.leases.list_leases()) == before


async def test_a_wrong_key_a_missing_container_and_a_dead_database_are_named(pair: Pair) -> None:
    pair.values["cosmos_key"] = "bm90IHRoZSBrZXk="
    found = await findings(pair)
    assert found["account and database"].verdict is Verdict.FAILED
    assert "az cosmosdb keys list" in found["account and database"].remedy
    assert found["change feed"].verdict is Verdict.SKIPPED

    pair.values["cosmos_key"] = pair.world.server.key
    pair.values["cosmos_container"] = "nothing"
    pair.values["database_url"] = "postgresql://nobody@127.0.0.1:1/none"
    found = await findings(pair)
    assert "nothing" in found["container"].detail
    assert found["container"].verdict is Verdict.FAILED
    assert found["PostgreSQL"].verdict is Verdict.FAILED
    assert "PROJECTOR_DATABASE_URL" in found["PostgreSQL"].remedy
    assert failed(list(found.values()))


async def test_a_refused_connection_is_no_missing_right(pair: Pair, tmp_path: Path) -> None:
    del pair.values["database_url"]
    pair.values |= {"cosmos_endpoint": "http://127.0.0.1:1", "data_dir": tmp_path}
    remedy = (await findings(pair))["account and database"].remedy
    assert "PROJECTOR_COSMOS_ENDPOINT" in remedy
    assert "role assignment" not in remedy


async def test_an_embedded_server_is_named_as_such_and_not_made(pair: Pair, tmp_path: Path) -> None:
    del pair.values["database_url"]
    pair.values["data_dir"] = tmp_path / "data"
    found = await findings(pair)
    assert found["PostgreSQL"].verdict is Verdict.OK
    assert f"embedded, none in {tmp_path}" in found["PostgreSQL"].detail
    with pytest.raises(SchemaMismatch, match="no embedded PostgreSQL"):
        await pair.verify()
    assert not (tmp_path / "data").exists()


async def test_a_second_processor_over_the_same_target_is_named(pair: Pair) -> None:
    await pair.lines(5)
    await pair.drain()
    pair.values["processor_name"] = "renamed"
    found = await findings(pair)
    assert found["processor"].verdict is Verdict.WARNING
    assert "another one, projector," in found["processor"].detail


async def test_a_reader_without_rights_comes_with_its_grants(pair: Pair, role: str) -> None:
    pair.values["reader_role"] = role
    await pair.sql(f"CREATE ROLE {role} NOLOGIN")
    found = (await findings(pair))[f"role {role}"]
    assert found.verdict is Verdict.WARNING
    for statement in found.remedy.split(";"):
        await pair.sql(statement)
    assert (await findings(pair))[f"role {role}"].verdict is Verdict.OK


async def test_a_reader_of_several_databases_is_named_with_them(
    pair: Pair, postgres_server_url: str, migrated_template: str
) -> None:
    with new_database(postgres_server_url, template=migrated_template) as other:
        found = (await findings(pair))["role carts_reader"]
        assert found.verdict is Verdict.WARNING
        assert database_name(other) in found.detail
        assert "PROJECTOR_READER_ROLE" in found.remedy


async def test_ttl_partition_key_and_leases_are_looked_at(pair: Pair) -> None:
    async with pair.world._writer.database(CART) as database:
        await database.create_container("other", PartitionKey("/id"))
    pair.values["cosmos_container"] = "other"
    found = await findings(pair)
    assert found["time to live"].verdict is Verdict.WARNING
    assert found["partition key"].verdict is Verdict.FAILED
    assert found["lease container"].verdict is Verdict.OK  # with a key a host may create it
    assert "creates it" in found["lease container"].detail


async def test_live_carts_that_bear_a_ttl_are_warned_of(pair: Pair) -> None:
    for number in range(6):
        await pair.line(f"cart-{number}", "line", ttl=86_400)
    found = await findings(pair)
    assert found["queries and point reads"].verdict is Verdict.WARNING
    assert "6 of 6 documents" in found["queries and point reads"].detail


async def test_clocks_that_differ_are_warned_of(pair: Pair) -> None:
    found = await findings(pair, clock=Fast())
    for check in ("clock of Cosmos DB", "clock of PostgreSQL"):
        assert found[check].verdict is Verdict.WARNING
        told = re.match(r"([0-9.]+) s from this machine's", found[check].detail)
        assert told
        assert float(told[1]) > AHEAD_SECONDS / 2  # the way there and back counts, too


async def test_rights_that_are_missing_come_with_their_grant(
    pair: Pair, empty_database_url: str
) -> None:
    name = empty_database_url.rsplit("/", 1)[1]
    role = f"poor_{name[-12:]}"
    await pair.sql(f"CREATE ROLE {role} LOGIN PASSWORD 'poor'")
    try:
        await pair.sql(f'REVOKE TEMPORARY ON DATABASE "{name}" FROM PUBLIC')
        rest = empty_database_url.split("@", 1)[1]
        pair.values["database_url"] = f"postgresql://{role}:poor@{rest}"
        told = await commands.doctor(pair.settings, clock=SystemClock())
    finally:
        await pair.sql(f"DROP ROLE {role}")
    remedies = [one.remedy for one in told if one.check == "PostgreSQL rights"]
    assert remedies == [
        f'GRANT CREATE ON DATABASE "{name}" TO "{role}"',
        f'GRANT TEMPORARY ON DATABASE "{name}" TO "{role}"',
    ]
    schema = next(one for one in told if one.check == "schema")
    assert schema.verdict is Verdict.WARNING
    assert "db upgrade" in schema.remedy


@pytest.mark.parametrize("member", [False, True], ids=["stranger", "silent_member"])
async def test_what_a_host_leaves_undone_for_want_of_a_role_comes_with_the_grant(
    pair: Pair, role: str, *, member: bool
) -> None:
    """It may read and write every table, so it copies; months, days and views are another's."""
    await pair.drain()
    await pair.sql(f"CREATE ROLE {role} LOGIN PASSWORD 'poor' NOINHERIT NOSUPERUSER")
    owner = f"{role}_owner"
    await pair.sql(f"CREATE ROLE {owner}")
    for schema in ("projector", "projector_g1"):
        await pair.sql(f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {role}")
        for kind in ("TABLES", "SEQUENCES"):
            await pair.sql(f"GRANT ALL ON ALL {kind} IN SCHEMA {schema} TO {role}")
    await pair.sql(f"GRANT CREATE ON SCHEMA projector, carts TO {owner}")
    for kind, name in await pair.sql(THEIRS):
        await pair.sql(f"ALTER {kind} {name} OWNER TO {owner}")
    pair.values["database_url"] = f"postgresql://{role}:poor@{pair.url.split('@', 1)[1]}"
    if member:
        await pair.sql(f"GRANT {owner} TO {role}; GRANT USAGE ON SCHEMA carts TO {owner}")

    async def lacking() -> dict[str, Finding]:
        told = await commands.doctor(pair.settings, clock=SystemClock())
        return {one.detail.split(":")[0]: one for one in told if one.check == "roles"}

    try:
        found = await lacking()
        assert {one.verdict for one in found.values()} == {Verdict.WARNING}
        months = found["months of the history are neither made nor dropped"]
        views = found["no rebuild can be promoted"]
        days = found["days of the history are not taken"]
        whose = f"more are {owner}'s, and {role} " + (
            "does not act as that role" if member else "is no member of it"
        )
        assert re.search(r": projector\.cart_events and \d+ " + whose, months.detail)
        assert whose in views.detail
        assert days.remedy == f'GRANT "carts_reader" TO "{role}"'
        mending = f'GRANT "{owner}" TO "{role}"' + (" WITH INHERIT TRUE" if member else "")
        assert months.remedy == views.remedy == mending
        if member:
            await pair.sql(mending)
            assert await lacking() == {}
    finally:
        for kind, name in await pair.sql(THEIRS):
            await pair.sql(f"ALTER {kind} {name} OWNER TO CURRENT_USER")
        await pair.sql(f"DROP OWNED BY {owner}; DROP ROLE {owner}")


@pytest.mark.parametrize(
    ("revision", "remedy"), [("0012", "DROP SCHEMA"), ("9999", "install the newer program")]
)
async def test_a_schema_that_no_host_would_take_is_no_warning(
    pair: Pair, revision: str, remedy: str
) -> None:
    await pair.sql(f"UPDATE projector.alembic_version SET version_num = '{revision}'")
    schema = (await findings(pair))["schema"]
    assert schema.verdict is Verdict.FAILED
    assert f"at {revision}" in schema.detail
    assert remedy in schema.remedy


async def test_a_way_in_clear_and_a_trigger_that_sleeps_are_told(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projector.postgres.encryption.is_local", lambda _: False)
    pair.values["database_url"] += "?sslmode=disable"
    await pair.sql("ALTER TABLE projector_g1.cart_items DISABLE TRIGGER cart_items_copied")
    found = await findings(pair)
    assert found["encryption"].verdict is Verdict.WARNING
    assert "in clear" in found["encryption"].detail
    assert found["triggers"].verdict is Verdict.FAILED
    assert "ENABLE TRIGGER cart_items_copied" in found["triggers"].detail
    refused = pytest.raises(ConfigurationError, match="ENABLE TRIGGER cart_items_copied")
    with capture_logs() as told, refused:
        await pair.drain()
    doubts = [line["check"] for line in told if line["event"] == "precondition_doubtful"]
    assert doubts[:1] == ["encryption"]
