from __future__ import annotations

from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient

from projector.emulator import EmulatorServer


async def test_a_created_item_is_read_listed_and_fed(emulator: EmulatorServer) -> None:
    async with CosmosClient(emulator.endpoint, emulator.key) as client:
        database = await client.create_database("shop")
        container = await database.create_container("cart", PartitionKey(path="/cartId"))
        created = await container.create_item({"id": "1", "cartId": "123", "quantity": 2})
        assert await container.read_item("1", "123") == created
        assert [item async for item in container.read_all_items()] == [created]
        fed = [item async for item in container.query_items_change_feed(start_time="Beginning")]
    assert [{**item, "_lsn": None} for item in fed] == [{**created, "_lsn": None}]
