from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from cosmos_emulator import EmulatorServer
from cosmos_emulator.faults import parse_fault
from projector.core.errors import (
    ConfigurationError,
    LeaseConflict,
    LeaseError,
    LeaseLost,
    LeaseMissing,
    LeaseStoreUnavailable,
)
from projector.core.lease import acquire
from projector.core.names import Continuation, Holder, InstanceName, LeaseToken
from projector.core.ranges import FeedRange
from projector.cosmos.lease_documents import lease_id
from projector.cosmos.lease_store import LONGEST_LOCK_SECONDS
from projector.operations.leases import forget
from tests.contract.lease_store import LOCK_SECONDS, WRITTEN_AT, created, new_lease
from tests.integration.cosmos.support import EmulatedLeases, emulated_leases


@pytest.fixture
async def world(emulator: EmulatorServer) -> AsyncIterator[EmulatedLeases]:
    async with emulated_leases(emulator) as world:
        yield world


def fault(world: EmulatedLeases, **fields: Any) -> None:
    world.server.faults.install(parse_fault(fields))


async def stored(world: EmulatedLeases) -> dict[str, Any]:
    """The only document in the lease container."""
    (document,) = await world.raw_documents()
    return document


async def test_missing_container_is_created_as_net_wants_it(world: EmulatedLeases) -> None:
    assert await world.store.create(new_lease())
    container = world.server.engine.container("acme-webstore", "lease")
    assert container.definition["partitionKey"]["paths"] == ["/id"]
    assert container.definition["defaultTtl"] == -1


async def test_looking_for_leases_creates_no_container(world: EmulatedLeases) -> None:
    assert list(await world.store.list_leases()) == []
    with pytest.raises(LeaseMissing):
        await world.store.read(LeaseToken("0"))
    assert "lease" not in world.server.engine.database("acme-webstore").containers


async def test_check_015_hosts_that_start_together_create_one_container_and_one_lease(
    world: EmulatedLeases,
) -> None:
    stores = (world.store, world.other_host) * 5
    created = await asyncio.gather(*(store.create(new_lease()) for store in stores))
    assert sorted(created) == [False] * 9 + [True]
    assert len(await world.other_host.list_leases()) == 1


async def test_check_012_stored_document_has_the_fields_of_net_in_their_order(
    world: EmulatedLeases,
) -> None:
    assert await world.store.create(new_lease("0", timestamp=WRITTEN_AT))
    document = await stored(world)
    assert [name for name in document if name not in {"_rid", "_self", "_attachments"}] == [
        "id",
        "version",
        "LeaseToken",
        "FeedRange",
        "Owner",
        "ContinuationToken",
        "properties",
        "timestamp",
        "Mode",
        "ttl",
        "_etag",
        "_ts",
    ]
    assert document["id"] == "projector127.0.0.1_b0wPAA==_b0wPAK3lXxQ=..0"
    assert document["FeedRange"] == {"Range": {"min": "", "max": "FF"}}
    assert document["timestamp"] == "2026-05-01T12:34:56.1234560Z"


async def test_check_013_partition_key_field_is_the_id_where_the_container_has_it(
    world: EmulatedLeases,
) -> None:
    await world.create_container("/partitionKey")
    assert await world.store.create(new_lease())
    await world.markers.mark_initialized()
    documents = await world.raw_documents()
    assert {one["id"]: one["partitionKey"] for one in documents} == {
        one["id"]: one["id"] for one in documents
    }
    assert list(documents[0])[:2] == ["id", "partitionKey"]


async def test_check_014_partition_key_of_an_older_writer_is_used_as_it_is_stored(
    world: EmulatedLeases,
) -> None:
    await world.create_container("/partitionKey", default_ttl=-1)
    name = lease_id(world.prefix, LeaseToken("0"))
    await world.put({"id": name, "partitionKey": "8b2e-a-guid", "LeaseToken": "0"})
    lease = await world.store.read(LeaseToken("0"))  # not listed before: it has to be looked for
    assert lease.partition_key == "8b2e-a-guid"
    renewed = await world.store.replace(replace(lease, continuation=Continuation('"7"')))
    assert (await world.other_host.list_leases())[0].continuation == '"7"'
    assert (await stored(world))["partitionKey"] == "8b2e-a-guid"
    await world.other_host.delete(renewed)
    assert await world.raw_documents() == []


@pytest.mark.parametrize("path", ["/pk", "/leaseToken"])
async def test_check_016_container_partitioned_on_anything_else_is_refused(
    world: EmulatedLeases, path: str
) -> None:
    await world.create_container(path)
    with pytest.raises(ConfigurationError, match=f"partitioned on {path}"):
        await world.store.list_leases()


async def test_fields_of_other_writers_survive_a_replace(world: EmulatedLeases) -> None:
    await world.create_container("/id")
    name = lease_id(world.prefix, LeaseToken("0"))
    foreign = {"id": name, "PartitionId": "0", "Team": {"pager": [1, 2]}, "x": None}
    await world.put(foreign)
    lease = await world.store.read(LeaseToken("0"))
    await world.store.replace(replace(lease, timestamp=WRITTEN_AT))
    document = await stored(world)
    assert {key: document[key] for key in foreign} == foreign
    assert document["LeaseToken"] == "0"


async def test_lease_of_the_java_processor_is_refused_by_name(world: EmulatedLeases) -> None:
    await world.create_container("/id")
    name = lease_id(world.prefix, LeaseToken("-FF"))
    await world.put(
        {"id": name, "version": 1, "LeaseToken": "-FF", "ContinuationToken": "eyJWIjoxLCJSaWQiOiJh"}
    )
    (lease,) = await world.store.list_leases()
    assert "another SDK" in (lease.unreadable or "")
    with pytest.raises(LeaseLost, match="another SDK"):
        acquire(lease, me=Holder(name=InstanceName("a")), seen=lease, now=WRITTEN_AT)


async def test_broken_lease_costs_its_own_keys_only_and_is_told_once(
    world: EmulatedLeases,
) -> None:
    await world.store.create(new_lease("0"))
    broken = lease_id(world.prefix, LeaseToken("1"))
    await world.put({"id": broken, "LeaseToken": "1", "ContinuationToken": 7})
    with capture_logs() as told:
        for _ in range(3):
            listed = await world.store.list_leases()
            assert [(lease.token, lease.unreadable is None) for lease in listed] == [
                ("0", True),
                ("1", False),
            ]
    (entry,) = told
    assert entry["log_level"] == "error"
    assert broken in entry["error"]
    assert "leases reset --range 1" in entry["error"]


async def test_a_reset_mends_a_broken_lease(world: EmulatedLeases) -> None:
    await world.create_container("/id")
    broken = lease_id(world.prefix, LeaseToken("10-20"))
    await world.put({"id": broken, "LeaseToken": 7, "ContinuationToken": 7})
    (lease,) = await world.store.list_leases()
    assert (lease.version, lease.feed_range) == (1, FeedRange(min="10", max="20"))
    (done,) = await forget(world.store, [lease], now=WRITTEN_AT)
    assert done.changed
    (mended,) = await world.store.list_leases()
    assert mended.unreadable is None
    assert (mended.token, mended.continuation, mended.owner) == ("10-20", None, None)


async def test_prefix_with_quotes_and_wildcards_is_taken_literally(
    world: EmulatedLeases,
) -> None:
    await world.create_container("/id")
    await world.put({"id": "projectorX127.0.0.1_b0wPAA==_b0wPAK3lXxQ=..0", "LeaseToken": "0"})
    assert list(await world.store.list_leases()) == []


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param({"status": 429, "retry_after_ms": 5}, id="429"),
        pytest.param({"status": 449}, id="449"),
        pytest.param({"status": 404, "substatus": 1002}, id="session ahead"),
        pytest.param({"action": "drop"}, id="connection lost"),
    ],
)
async def test_outage_of_the_lease_container_is_told_as_such(
    world: EmulatedLeases, trouble: dict[str, Any]
) -> None:
    lease = await created(world.store, new_lease())
    for operation in ("replace_item", "read_item", "create_item", "query_items", "delete_item"):
        fault(world, operation=operation, **trouble)
    for call in (
        world.store.replace(lease),
        world.store.read(lease.token),
        world.store.create(new_lease("1")),
        world.store.list_leases(),
        world.store.delete(lease),
        world.markers.is_initialized(),
        world.markers.acquire_lock(seconds=LOCK_SECONDS),
    ):
        with pytest.raises(LeaseStoreUnavailable):
            await call
    world.server.faults.clear()
    assert await world.store.read(lease.token) == lease


async def test_host_without_ranges_cures_an_aged_token_by_itself(world: EmulatedLeases) -> None:
    lease = await created(world.store, new_lease())
    fault(world, operation="read_item", status=403, substatus=5300, times=1)
    assert await world.store.read(lease.token) == lease


async def test_write_whose_answer_was_lost_shows_as_a_conflict(world: EmulatedLeases) -> None:
    lease = await created(world.store, new_lease())
    fault(world, operation="replace_item", action="truncate", times=1)
    changed = replace(lease, continuation=Continuation('"9"'))
    with pytest.raises(LeaseError):
        await world.store.replace(changed)
    with pytest.raises(LeaseConflict):
        await world.store.replace(changed)
    assert (await world.store.read(lease.token)).continuation == '"9"'


async def test_check_026_database_that_is_missing_is_named(world: EmulatedLeases) -> None:
    world.server.engine.delete_database("acme-webstore")
    with pytest.raises(ConfigurationError, match="'acme-webstore'"):
        await world.store.create(new_lease())
    with pytest.raises(LeaseMissing):
        await world.store.read(LeaseToken("0"))


async def test_live_lock_is_not_taken_over_in_a_container_without_ttl(
    world: EmulatedLeases,
) -> None:
    await world.create_container("/id")
    assert await world.markers.acquire_lock(seconds=LOCK_SECONDS)
    await world.advance(LOCK_SECONDS - 5)
    assert not await world.other_markers.acquire_lock(seconds=LOCK_SECONDS)


@pytest.mark.parametrize("ttl", [2**31 - 1, None, -1])
async def test_lock_holds_nobody_up_for_long_whatever_it_says(
    world: EmulatedLeases, ttl: int | None
) -> None:
    await world.create_container("/id", default_ttl=-1)
    await world.put({"id": f"{world.prefix}.lock"} | ({} if ttl is None else {"ttl": ttl}))
    assert not await world.markers.acquire_lock(seconds=LOCK_SECONDS)
    await world.advance(LONGEST_LOCK_SECONDS + 1)
    with capture_logs() as told:
        assert await world.markers.acquire_lock(seconds=LOCK_SECONDS)
    assert [entry["event"] for entry in told] == (["lock_implausible"] if ttl == 2**31 - 1 else [])


@pytest.mark.parametrize("written", ["9999-12-31T23:59:59Z", "1970-01-01T00:00:00Z", "soon", None])
async def test_age_of_a_lease_is_told_by_the_service_alone(
    world: EmulatedLeases, written: str | None
) -> None:
    """Whatever time the document bears: a host's clock may be wrong, and a stranger's word false."""
    lease = await created(world.store, new_lease(owner=InstanceName("gone")))
    await world.put({**await stored(world), "timestamp": written})
    (found,) = await world.store.list_leases()
    assert not found.expired(now=WRITTEN_AT, expiration_seconds=60)
    await world.advance(70)
    (found,) = await world.store.list_leases()
    assert found.token == lease.token
    assert found.expired(now=WRITTEN_AT, expiration_seconds=60)


async def test_lock_of_net_has_its_shape(world: EmulatedLeases) -> None:
    assert await world.markers.acquire_lock(seconds=LOCK_SECONDS)
    document = await stored(world)
    assert document["id"] == f"{world.prefix}.lock"
    assert document["ttl"] == LOCK_SECONDS
    assert "LeaseToken" not in document


@pytest.mark.parametrize(("before", "after"), [("/id", "/partitionKey"), ("/partitionKey", "/id")])
async def test_container_made_anew_with_another_key_is_met_as_it_is_now(
    world: EmulatedLeases, before: str, after: str
) -> None:
    await world.create_container(before)
    lease = await created(world.store, new_lease())
    await world.wipe()
    await world.create_container(after)
    with pytest.raises(LeaseMissing):
        await world.store.replace(lease)
    fresh = await created(world.store, new_lease())
    changed = await world.store.replace(replace(fresh, continuation=Continuation('"5"')))
    assert (await world.store.read(fresh.token)).continuation == changed.continuation
    assert ("partitionKey" in await stored(world)) is (after == "/partitionKey")
    await world.store.delete(changed)
    assert list(await world.store.list_leases()) == []
