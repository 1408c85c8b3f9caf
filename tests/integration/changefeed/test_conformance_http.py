"""Checks of the conformance list that need the wire: documents in a container, headers, errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.cosmos import PartitionKey

from cosmos_emulator import EmulatorServer
from projector.changefeed import ConfigurationError
from tests.fixtures.emulator import control
from tests.integration.changefeed.shop import COLLECTION, NAMES, Shop, opened, until


@pytest.fixture
async def shop(emulator: EmulatorServer) -> AsyncIterator[Shop]:
    async with opened(emulator) as made:
        yield made


async def documents(shop: Shop) -> dict[str, dict[str, Any]]:
    """Everything in the lease container by id."""
    return {item["id"]: item async for item in shop.lease.query_items("SELECT * FROM c")}


async def test_check_009_marker_and_lock_are_no_leases(shop: Shop) -> None:
    async with shop.processor():
        await until(lambda: shop.contexts or True)
    tokens = [item.get("LeaseToken") for item in (await documents(shop)).values()]
    assert sorted(str(token) for token in tokens) == ["0", "1", "2", "3", "None"]


async def test_check_012_container_on_id_gets_no_partition_key_field(shop: Shop) -> None:
    async with shop.processor():
        pass
    found = await documents(shop)
    assert len(found) == 5
    assert not [item for item in found.values() if "partitionKey" in item]


async def test_check_013_container_on_partition_key_gets_the_id_there(shop: Shop) -> None:
    await shop.database.create_container("lease", PartitionKey("/partitionKey"), default_ttl=-1)
    await shop.write(*NAMES)
    async with shop.processor():
        await until(lambda: len(shop.seen) == len(NAMES))
    found = await documents(shop)
    assert len(found) == 5
    assert {item["partitionKey"] == identity for identity, item in found.items()} == {True}


async def test_check_014_partition_key_of_an_older_writer_is_used(shop: Shop) -> None:
    await shop.database.create_container("lease", PartitionKey("/partitionKey"), default_ttl=-1)
    await shop.write(*NAMES)
    async with shop.processor():
        await until(lambda: len(shop.seen) == len(NAMES))
    for identity, item in (await documents(shop)).items():
        if "LeaseToken" in item:
            await shop.lease.delete_item(identity, item["partitionKey"])
            await shop.lease.create_item(item | {"partitionKey": f"guid-of-{identity}"})
    async with shop.processor():
        await shop.write("later")
        await until(lambda: shop.seen[-1] == "later")
    leases = [item for item in (await documents(shop)).values() if "LeaseToken" in item]
    assert len(leases) == 4
    assert {item["partitionKey"] for item in leases} == {f"guid-of-{i['id']}" for i in leases}
    assert {item["Owner"] for item in leases} == {None}


async def test_check_015_lease_that_exists_is_not_created_twice(shop: Shop) -> None:
    await shop.database.create_container("lease", PartitionKey("/partitionKey"), default_ttl=-1)
    first, second = shop.processor(), shop.processor()
    await first.start()
    await second.start()
    await second.stop()
    await first.stop()
    assert len(await documents(shop)) == 5


async def test_check_022_lock_is_gone_after_the_start(shop: Shop) -> None:
    async with shop.processor():
        assert not [i for i in await documents(shop) if i.endswith(".lock")]


async def test_check_026_missing_database_of_leases_is_named(shop: Shop) -> None:
    elsewhere = shop.address("lease", database="nowhere")
    with pytest.raises(ConfigurationError, match="nowhere"):
        await shop.processor(lease_container=elsewhere).start()


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        pytest.param(datetime(1, 1, 2, tzinfo=UTC), {"old", "new"}, id="033 the oldest time"),
        pytest.param(datetime.now(UTC) - timedelta(hours=1), {"new"}, id="034 a time between"),
    ],
)
async def test_check_033_and_034_start_times(
    shop: Shop, start: datetime, expected: set[str]
) -> None:
    await control(shop.server, "clock", {"offset_seconds": -7200})
    await shop.write("old")
    await control(shop.server, "clock", {"offset_seconds": 0})
    await shop.write("new")
    async with shop.processor(start_from=start):
        await until(lambda: set(shop.seen) == expected)


async def test_check_082_session_not_available_is_no_split(shop: Shop) -> None:
    await shop.write(*NAMES)
    await control(
        shop.server,
        "faults",
        {"operation": "change_feed", "status": 404, "substatus": 1002, "times": 4},
    )
    async with shop.processor():
        await until(lambda: len(shop.seen) == len(NAMES))
    assert len(await documents(shop)) == 5


async def test_check_082_completing_split_is_followed(shop: Shop) -> None:
    await shop.write(*NAMES)
    async with shop.processor():
        await until(lambda: len(shop.seen) == len(NAMES))
        await control(shop.server, f"{COLLECTION}/split", {"range": "1"})
        await shop.write(*(f"later-{n}" for n in range(20)))
        await until(lambda: len(shop.seen) == len(NAMES) + 20)
    tokens = {item.get("LeaseToken") for item in (await documents(shop)).values()}
    assert "1" not in tokens
    assert len(tokens) == 6


async def test_check_108_ids_begin_as_scalers_expect(shop: Shop) -> None:
    async with shop.processor():
        pass
    assert all(identity.startswith("test127.") for identity in await documents(shop))
