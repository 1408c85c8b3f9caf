"""Every item operation of azure-cosmos, asynchronous, unpatched."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from azure.core import MatchConditions
from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, CosmosClient
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosBatchOperationError,
    CosmosHttpResponseError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)
from azure.cosmos.partition_key import NonePartitionKeyValue, NullPartitionKeyValue

from cosmos_emulator import EmulatorServer


@pytest.fixture
async def container(emulator: EmulatorServer) -> AsyncIterator[ContainerProxy]:
    async with CosmosClient(emulator.endpoint, emulator.key) as client:
        database = await client.create_database("shop")
        yield await database.create_container("cart", PartitionKey(path="/cartId"), default_ttl=-1)


async def test_a_created_item_is_read_listed_and_fed(container: ContainerProxy) -> None:
    created = await container.create_item({"id": "1", "cartId": "123", "quantity": 2})
    assert await container.read_item("1", "123") == created
    assert [item async for item in container.read_all_items()] == [created]
    fed = [item async for item in container.query_items_change_feed(start_time="Beginning")]
    assert [{**item, "_lsn": None} for item in fed] == [{**created, "_lsn": None}]
    assert fed[0]["_lsn"] == 1


async def test_an_item_has_the_system_properties_of_the_service(container: ContainerProxy) -> None:
    created = await container.create_item({"id": "1", "cartId": "123"})
    assert set(created) - {"id", "cartId"} == {"_rid", "_self", "_etag", "_attachments", "_ts"}
    assert created.get_response_headers()["etag"] == created["_etag"]
    assert created["_etag"][0] == created["_etag"][-1] == '"'
    assert len(created["_rid"]) == 24


async def test_every_item_answer_has_the_headers_of_the_service(container: ContainerProxy) -> None:
    created = await container.create_item({"id": "1", "cartId": "123"})
    headers = created.get_response_headers()
    range_id, _, rest = headers["x-ms-session-token"].partition(":")
    assert (range_id in {"0", "1", "2", "3"}, rest) == (True, "-1#1")
    assert headers["x-ms-alt-content-path"] == "dbs/shop/colls/cart"
    assert headers["lsn"] == "1"
    assert 5 <= float(headers["x-ms-request-charge"]) < 6
    assert headers["x-ms-activity-id"]
    read = await container.read_item("1", "123")
    assert float(read.get_response_headers()["x-ms-request-charge"]) == 1


async def test_upsert_replace_and_delete(container: ContainerProxy) -> None:
    await container.upsert_item({"id": "1", "cartId": "123", "quantity": 1})
    await container.upsert_item({"id": "1", "cartId": "123", "quantity": 2})
    assert (await container.read_item("1", "123"))["quantity"] == 2
    await container.replace_item("1", {"id": "1", "cartId": "123", "quantity": 3})
    assert (await container.read_item("1", "123"))["quantity"] == 3
    await container.delete_item("1", "123")
    with pytest.raises(CosmosResourceNotFoundError):
        await container.read_item("1", "123")


async def test_what_is_not_there_is_404_with_a_session_token(container: ContainerProxy) -> None:
    await container.create_item({"id": "1", "cartId": "123"})
    with pytest.raises(CosmosResourceNotFoundError) as caught:
        await container.read_item("2", "123")
    assert caught.value.sub_status in {None, 0}
    assert caught.value.headers["x-ms-session-token"].endswith(":-1#1")
    for gone in (
        container.delete_item("2", "123"),
        container.replace_item("2", {"id": "2", "cartId": "123"}),
        container.patch_item("2", "123", [{"op": "add", "path": "/n", "value": 1}]),
    ):
        with pytest.raises(CosmosResourceNotFoundError):
            await gone


async def test_a_second_create_is_409(container: ContainerProxy) -> None:
    await container.create_item({"id": "1", "cartId": "123"})
    with pytest.raises(CosmosResourceExistsError):
        await container.create_item({"id": "1", "cartId": "123"})


async def test_a_stale_tag_is_412(container: ContainerProxy) -> None:
    created = await container.create_item({"id": "1", "cartId": "123"})
    body = {"id": "1", "cartId": "123", "quantity": 1}
    match: dict[str, Any] = {
        "etag": created["_etag"],
        "match_condition": MatchConditions.IfNotModified,
    }
    await container.replace_item("1", body, **match)
    for stale in (
        container.replace_item("1", body, **match),
        container.delete_item("1", "123", **match),
        container.upsert_item(body, **match),
        container.patch_item("1", "123", [{"op": "add", "path": "/n", "value": 1}], **match),
    ):
        with pytest.raises(CosmosAccessConditionFailedError):
            await stale


async def test_reading_what_one_has_is_not_modified(container: ContainerProxy) -> None:
    created = await container.create_item({"id": "1", "cartId": "123"})
    match: dict[str, Any] = {"match_condition": MatchConditions.IfModified}
    again = await container.read_item("1", "123", etag=created["_etag"], **match)
    assert again == {}
    assert again.get_response_headers()["x-ms-session-token"].endswith(":-1#1")
    assert (await container.read_item("1", "123", etag='"x"', **match))["id"] == "1"


async def test_patch_applies_operations_on_a_condition(container: ContainerProxy) -> None:
    await container.create_item({"id": "1", "cartId": "123", "quantity": 1, "tags": ["a"]})
    operations: list[dict[str, Any]] = [
        {"op": "incr", "path": "/quantity", "value": 4},
        {"op": "add", "path": "/tags/-", "value": "b"},
        {"op": "set", "path": "/item", "value": "Surface Pro"},
    ]
    patched = await container.patch_item(
        "1", "123", operations, filter_predicate="from c where c.quantity = 1"
    )
    assert (patched["quantity"], patched["tags"], patched["item"]) == (5, ["a", "b"], "Surface Pro")
    with pytest.raises(CosmosAccessConditionFailedError):
        await container.patch_item(
            "1", "123", operations, filter_predicate="from c where c.quantity = 1"
        )
    with pytest.raises(CosmosHttpResponseError) as caught:
        await container.patch_item("1", "123", [{"op": "remove", "path": "/nothing"}])
    assert caught.value.status_code == 400


async def test_a_batch_is_all_or_nothing(container: ContainerProxy) -> None:
    results = await container.execute_item_batch(
        [
            ("create", ({"id": "1", "cartId": "123"},)),
            ("upsert", ({"id": "2", "cartId": "123"},)),
            ("replace", ("1", {"id": "1", "cartId": "123", "quantity": 2})),
            ("patch", ("1", [{"op": "incr", "path": "/quantity", "value": 1}])),
            ("read", ("1",)),
            ("delete", ("2",)),
        ],
        "123",
    )
    assert [each["statusCode"] for each in results] == [201, 201, 200, 200, 200, 204]
    assert results[4]["resourceBody"]["quantity"] == 3
    with pytest.raises(CosmosBatchOperationError) as caught:
        await container.execute_item_batch(
            [("delete", ("1",)), ("create", ({"id": "3", "cartId": "123"},)), ("read", ("9",))],
            "123",
        )
    assert caught.value.error_index == 2
    assert [each["statusCode"] for each in caught.value.operation_responses] == [424, 424, 404]
    assert [item["id"] async for item in container.read_all_items()] == ["1"]


@pytest.mark.parametrize("key", ["a", "", "héllo ☃", 0, 1.5, -3, True, False])
async def test_every_kind_of_partition_key(container: ContainerProxy, key: Any) -> None:
    created = await container.create_item({"id": "1", "cartId": key})
    assert await container.read_item("1", key) == created
    feed_range = await container.feed_range_from_partition_key(key)
    fed = container.query_items_change_feed(feed_range=feed_range, start_time="Beginning")
    assert [item["cartId"] async for item in fed] == [key]


async def test_null_and_undefined_partition_keys_are_two(container: ContainerProxy) -> None:
    await container.create_item({"id": "1", "cartId": None})
    await container.create_item({"id": "1"})
    assert "cartId" in await container.read_item("1", NullPartitionKeyValue)
    assert "cartId" not in await container.read_item("1", NonePartitionKeyValue)


async def test_a_minimal_answer_has_headers_only(container: ContainerProxy) -> None:
    created = await container.create_item({"id": "1", "cartId": "123"}, no_response=True)
    assert created == {}
    assert created.get_response_headers()["etag"]
    replaced = await container.upsert_item({"id": "1", "cartId": "123"}, no_response=True)
    assert replaced == {}


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # the client's own
async def test_a_document_above_two_megabytes_is_413(container: ContainerProxy) -> None:
    body: dict[str, Any] = {"id": "1", "cartId": "a", "text": "x" * 2_000_000}
    await container.create_item(body)
    with pytest.raises(CosmosHttpResponseError) as caught:
        await container.replace_item("1", {**body, "text": "x" * 2_200_000})
    assert caught.value.status_code == 413


@pytest.mark.parametrize("ttl", [0, -2, 2**31, 1.5, "10", True, None])
async def test_an_invalid_ttl_is_400(container: ContainerProxy, ttl: Any) -> None:
    with pytest.raises(CosmosHttpResponseError) as caught:
        await container.create_item({"id": "1", "cartId": "a", "ttl": ttl})
    assert caught.value.status_code == 400


async def test_all_items_of_a_partition_key_are_deleted(container: ContainerProxy) -> None:
    await container.create_item({"id": "1", "cartId": "a"})
    await container.create_item({"id": "1", "cartId": "b"})
    await container.delete_all_items_by_partition_key("a")
    assert [item["cartId"] async for item in container.read_all_items()] == ["b"]


async def test_many_items_are_read_at_once(container: ContainerProxy) -> None:
    for number in range(20):
        await container.create_item({"id": str(number), "cartId": f"k{number % 7}"})
    wanted: list[tuple[str, Any]] = [(str(n), f"k{n % 7}") for n in range(0, 20, 3)]
    found = await container.read_items([*wanted, ("99", "k1")])
    assert {item["id"] for item in found} == {name for name, _ in wanted}


async def test_hierarchical_partition_keys(emulator: EmulatorServer) -> None:
    async with CosmosClient(emulator.endpoint, emulator.key) as client:
        database = await client.create_database("shop")
        key = PartitionKey(path=["/tenant", "/user"], kind="MultiHash")
        container = await database.create_container("events", key)
        for tenant in ("t1", "t2"):
            for user in range(5):
                await container.create_item({"id": "1", "tenant": tenant, "user": user})
        assert (await container.read_item("1", ["t1", 3]))["user"] == 3
        query: Any = container.query_items("SELECT VALUE c.user FROM c", partition_key=["t1"])
        assert sorted([user async for user in query]) == [0, 1, 2, 3, 4]
        feed_range = await container.feed_range_from_partition_key(["t2"])
        fed = container.query_items_change_feed(feed_range=feed_range, start_time="Beginning")
        assert {item["tenant"] async for item in fed} == {"t2"}
