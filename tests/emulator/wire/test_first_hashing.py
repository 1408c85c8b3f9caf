"""A container with the first version of hashing, under a client that hashes for itself."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from azure.cosmos.aio import ContainerProxy, CosmosClient

from cosmos_emulator import EmulatorServer
from tests.fixtures.emulator import running_emulator
from tests.fixtures.emulator_wire import wire

DEFINITION = {"id": "cart", "partitionKey": {"paths": ["/cartId"], "kind": "Hash", "version": 1}}


@pytest.fixture
async def emulator() -> AsyncIterator[EmulatorServer]:
    async with running_emulator(partitions=4) as server:
        server.engine.create_database("shop")
        yield server


@pytest.fixture
async def carts(emulator: EmulatorServer) -> AsyncIterator[ContainerProxy]:
    created = await wire(emulator, "POST", "dbs/shop/colls", DEFINITION)
    assert (created.status, created.json["partitionKey"]["version"]) == (201, 1)
    async with CosmosClient(emulator.endpoint, emulator.key) as client:
        yield client.get_database_client("shop").get_container_client("cart")


async def test_every_key_lies_where_the_client_looks_for_it(
    emulator: EmulatorServer, carts: ContainerProxy
) -> None:
    for number in range(40):
        await carts.create_item({"id": str(number), "cartId": f"k{number % 20}"})
    container = emulator.engine.container("shop", "cart")
    assert all(len(partition) for partition in container.partitions())
    for number in range(20):
        found = [
            item["id"]
            async for item in carts.query_items("SELECT * FROM c", partition_key=f"k{number}")
        ]
        assert found == [str(number), str(number + 20)]
    ranges = [each async for each in carts.read_feed_ranges()]
    container.split("1")
    fed = [
        item["id"]
        for each in ranges
        async for item in carts.query_items_change_feed(feed_range=each, start_time="Beginning")
    ]
    assert sorted(fed, key=int) == [str(number) for number in range(40)]


async def test_a_replacement_keeps_the_version(emulator: EmulatorServer) -> None:
    await wire(emulator, "POST", "dbs/shop/colls", DEFINITION)
    changed = {"id": "cart", "partitionKey": {"paths": ["/cartId"]}, "defaultTtl": 5}
    answer = await wire(emulator, "PUT", "dbs/shop/colls/cart", changed)
    assert answer.json["partitionKey"] == DEFINITION["partitionKey"]
