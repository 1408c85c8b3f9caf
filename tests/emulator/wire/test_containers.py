"""Account, databases, containers, throughput and partition key ranges."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from azure.cosmos import PartitionKey, ThroughputProperties
from azure.cosmos.aio import CosmosClient
from azure.cosmos.exceptions import (
    CosmosHttpResponseError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)

from cosmos_emulator import EmulatorServer
from tests.fixtures.emulator_wire import wire


@pytest.fixture
async def client(emulator: EmulatorServer) -> AsyncIterator[CosmosClient]:
    async with CosmosClient(emulator.endpoint, emulator.key) as client:
        yield client


async def test_the_account_is_where_the_client_found_it(emulator: EmulatorServer) -> None:
    answer = await wire(emulator, "GET", "", headers={"Host": "cosmos.example:1234"})
    locations = answer.json["writableLocations"] + answer.json["readableLocations"]
    assert {each["databaseAccountEndpoint"] for each in locations} == {
        "http://cosmos.example:1234/"
    }
    assert answer.json["userConsistencyPolicy"]["defaultConsistencyLevel"] == "Session"


async def test_databases_come_and_go(client: CosmosClient) -> None:
    await client.create_database("a")
    await client.create_database_if_not_exists("a")
    await client.create_database_if_not_exists("b")
    with pytest.raises(CosmosResourceExistsError):
        await client.create_database("a")
    assert [each["id"] async for each in client.list_databases()] == ["a", "b"]
    query = "SELECT * FROM d WHERE d.id = @id"
    found = client.query_databases(query, parameters=[{"name": "@id", "value": "b"}])
    assert [each["id"] async for each in found] == ["b"]
    assert (await client.get_database_client("a").read())["id"] == "a"
    await client.delete_database("a")
    with pytest.raises(CosmosResourceNotFoundError):
        await client.get_database_client("a").read()


async def test_containers_come_change_and_go(client: CosmosClient) -> None:
    database = await client.create_database("shop")
    container = await database.create_container("cart", PartitionKey(path="/cartId"))
    await database.create_container_if_not_exists("lease", PartitionKey(path="/id"))
    await database.create_container_if_not_exists("lease", PartitionKey(path="/id"))
    with pytest.raises(CosmosResourceExistsError):
        await database.create_container("cart", PartitionKey(path="/cartId"))
    assert [each["id"] async for each in database.list_containers()] == ["cart", "lease"]
    found = database.query_containers("SELECT * FROM c WHERE c.id = 'lease'")
    assert [each["id"] async for each in found] == ["lease"]
    described = await container.read()
    assert described["partitionKey"] == {"paths": ["/cartId"], "kind": "Hash", "version": 2}
    assert "defaultTtl" not in described
    await database.replace_container(container, PartitionKey(path="/cartId"), default_ttl=60)
    assert (await container.read())["defaultTtl"] == 60
    await database.delete_container("cart")
    with pytest.raises(CosmosResourceNotFoundError):
        await container.read()


@pytest.mark.parametrize("ttl", [0, -2])
async def test_an_invalid_default_ttl_is_400(client: CosmosClient, ttl: int) -> None:
    database = await client.create_database("shop")
    with pytest.raises(CosmosHttpResponseError) as caught:
        await database.create_container("cart", PartitionKey(path="/cartId"), default_ttl=ttl)
    assert caught.value.status_code == 400


async def test_a_missing_owner_is_404_1003(client: CosmosClient, emulator: EmulatorServer) -> None:
    key = {"x-ms-documentdb-partitionkey": '["a"]'}
    await client.create_database("shop")
    for path in ("dbs/none/colls/cart/docs/1", "dbs/shop/colls/none/docs/1"):
        answer = await wire(emulator, "GET", path, headers=key)
        assert (answer.status, answer.substatus) == (404, 1003)
    answer = await wire(emulator, "GET", "dbs/none/colls/cart")
    assert (answer.status, answer.substatus) == (404, 1003)
    answer = await wire(emulator, "GET", "dbs/shop/colls/none")
    assert (answer.status, answer.substatus) == (404, 0)


async def test_throughput_is_remembered(client: CosmosClient) -> None:
    database = await client.create_database("shop")
    plain = await database.create_container("a", PartitionKey(path="/id"))
    fixed = await database.create_container("b", PartitionKey(path="/id"), offer_throughput=1000)
    scaled = await database.create_container(
        "c",
        PartitionKey(path="/id"),
        offer_throughput=ThroughputProperties(auto_scale_max_throughput=4000),
    )
    assert (await plain.get_throughput()).offer_throughput == 400
    assert (await fixed.get_throughput()).offer_throughput == 1000
    assert (await scaled.get_throughput()).auto_scale_max_throughput == 4000
    await fixed.replace_throughput(2000)
    assert (await fixed.get_throughput()).offer_throughput == 2000


async def test_names_may_hold_spaces_and_other_letters(client: CosmosClient) -> None:
    database = await client.create_database("d b")
    container = await database.create_container("c é", PartitionKey(path="/pk"))
    await container.create_item({"id": "x ☃", "pk": "é"})
    assert (await container.read_item("x ☃", "é"))["pk"] == "é"
    headers = (await container.read_item("x ☃", "é")).get_response_headers()
    assert headers["x-ms-alt-content-path"] == "dbs/d b/colls/c %C3%A9"
    assert len([each async for each in container.read_feed_ranges()]) == 4


async def test_partition_key_ranges_are_read_until_nothing_is_new(
    client: CosmosClient, emulator: EmulatorServer
) -> None:
    database = await client.create_database("shop")
    await database.create_container("cart", PartitionKey(path="/cartId"))
    path = "dbs/shop/colls/cart/pkranges"
    first = await wire(emulator, "GET", path, headers={"A-IM": "Incremental Feed"})
    etag = first.headers["etag"]
    again = await wire(emulator, "GET", path, headers={"If-None-Match": etag})
    assert (first.status, again.status, again.body, again.headers["etag"]) == (200, 304, b"", etag)
    ranges = first.json["PartitionKeyRanges"]
    assert [each["id"] for each in ranges] == ["0", "1", "2", "3"]
    assert (ranges[0]["minInclusive"], ranges[-1]["maxExclusive"]) == ("", "FF")
    assert all(each["parents"] == [] and each["status"] == "online" for each in ranges)
    emulator.engine.container("shop", "cart").split("3")
    after = await wire(emulator, "GET", path, headers={"If-None-Match": etag})
    children = [(each["id"], each["parents"]) for each in after.json["PartitionKeyRanges"]]
    assert children == [("4", ["3"]), ("5", ["3"])]


async def test_a_recreated_container_is_another_container(
    client: CosmosClient, emulator: EmulatorServer
) -> None:
    database = await client.create_database("shop")
    container = await database.create_container("cart", PartitionKey(path="/cartId"))
    old_rid = (await container.read())["_rid"]
    await database.delete_container("cart")
    await database.create_container("cart", PartitionKey(path="/cartId"))
    headers = {"x-ms-cosmos-intended-collection-rid": old_rid}
    for path in ("dbs/shop/colls/cart/docs", "dbs/shop/colls/cart/pkranges"):
        answer = await wire(emulator, "GET", path, headers=headers)
        assert (answer.status, answer.substatus) == (400, 1024)
    await container.create_item({"id": "1", "cartId": "a"})
    assert (await container.read_item("1", "a"))["id"] == "1"


async def test_unknown_paths_are_refused(emulator: EmulatorServer) -> None:
    answer = await wire(emulator, "POST", "dbs/shop/colls/cart/nonsense", {})
    assert answer.status == 404
    assert answer.json["code"] == "NotFound"
