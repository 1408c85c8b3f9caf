"""What the SDKs of other languages send and read, by hand.

Source: captured requests of azure-cosmos for Java 4.81.0, JavaScript 4.10.1, Go 1.5.0, Python 4.17.1.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient

from cosmos_emulator import EmulatorServer
from tests.fixtures.emulator import running_emulator
from tests.fixtures.emulator_wire import signature, wire

DOCS = "dbs/shop/colls/cart/docs"
KEY = {"x-ms-documentdb-partitionkey": '["a"]'}
FEED = {"A-IM": "Incremental feed"}
QUERY = {
    "x-ms-documentdb-isquery": "True",
    "Content-Type": "application/query+json",
    "x-ms-documentdb-query-enablecrosspartition": "True",
}


@pytest.fixture
async def emulator() -> AsyncIterator[EmulatorServer]:
    async with running_emulator(partitions=2) as server:
        server.engine.create_database("shop")
        server.engine.create_container(
            "shop", {"id": "cart", "partitionKey": {"paths": ["/cartId"]}, "defaultTtl": -1}
        ).create({"id": "1", "cartId": "a"})
        yield server


async def test_a_document_stands_for_its_id(emulator: EmulatorServer) -> None:
    async with CosmosClient(emulator.endpoint, emulator.key) as client:
        carts = client.get_database_client("shop").get_container_client("cart")
        found = await carts.read_item("1", "a")
        assert (await carts.read_item(found, "a"))["id"] == "1"
        changed = await carts.replace_item(found, {**found, "n": 1})
        await carts.patch_item(changed, "a", [{"op": "incr", "path": "/n", "value": 1}])
        assert (await carts.read_item("1", "a"))["n"] == 2
        await carts.delete_item(changed, "a")
        assert [each async for each in carts.read_all_items()] == []


@pytest.mark.parametrize("missing", ["dbs", "colls", "docs"])
async def test_a_resource_id_of_nothing_is_404(emulator: EmulatorServer, missing: str) -> None:
    container = emulator.engine.container("shop", "cart")
    (document,) = container.documents()
    rid = json.loads(document.point_body)["_rid"]
    path = f"dbs/{container.database_rid}/colls/{container.rid}/docs/{rid}"
    parts = path.split("/")
    at = parts.index(missing) + 1
    parts[at] = parts[at].replace(parts[at][0], "z" if parts[at][0] != "z" else "y", 1)
    answer = await wire(emulator, "GET", "/".join(parts), headers=KEY)
    assert answer.status == 404
    assert (await wire(emulator, "GET", path, headers=KEY)).json["id"] == "1"


async def test_a_signature_of_the_last_name_alone_is_refused(emulator: EmulatorServer) -> None:
    date = "Thu, 26 Nov 2026 13:00:00 GMT"
    signed = {"x-ms-date": date, "authorization": signature("GET", "docs/1", date, emulator.key)}
    assert (await wire(emulator, "GET", f"{DOCS}/1", headers={**KEY, **signed})).status == 401


def bulk_headers(server: EmulatorServer, cart: str, **more: str) -> dict[str, str]:
    container = server.engine.container("shop", "cart")
    owner = container.topology.owner_of(container.keys.epk_of((cart,)))
    return {
        "x-ms-cosmos-is-batch-request": "True",
        "x-ms-cosmos-batch-atomic": "False",
        "x-ms-documentdb-partitionkeyrangeid": owner.range_id,
        **more,
    }


def operation(kind: str, identity: str, *, cart: str = "a", **more: Any) -> dict[str, Any]:
    body = {"id": identity, "cartId": cart}
    plain = {"operationType": kind, "id": identity, "partitionKey": json.dumps([cart])}
    return {**plain, "resourceBody": body, **more}


async def test_bulk_operations_stand_each_for_itself(emulator: EmulatorServer) -> None:
    operations = [
        operation("Create", "2"),
        operation("Create", "1"),
        operation("Upsert", "1", resourceBody={"id": "1", "cartId": "a", "n": 1}),
        operation(
            "Patch", "1", resourceBody={"operations": [{"op": "incr", "path": "/n", "value": 2}]}
        ),
        operation("Read", "1"),
        operation("Delete", "9"),
    ]
    go_on = bulk_headers(emulator, "a", **{"x-ms-cosmos-batch-continue-on-error": "True"})
    answer = await wire(emulator, "POST", DOCS, operations, headers=go_on)
    assert answer.status == 207
    assert [each["statusCode"] for each in answer.json] == [201, 409, 200, 200, 200, 404]
    assert answer.json[4]["resourceBody"]["n"] == 3

    headers = bulk_headers(emulator, "a")
    stopped = await wire(emulator, "POST", DOCS, operations[1:3], headers=headers)
    assert [each["statusCode"] for each in stopped.json] == [409, 424]
    fine = await wire(emulator, "POST", DOCS, [operation("Create", "3")], headers=headers)
    assert fine.status == 200


async def test_bulk_for_a_range_that_was_split_is_410(emulator: EmulatorServer) -> None:
    headers = bulk_headers(emulator, "a")
    emulator.engine.container("shop", "cart").split(headers["x-ms-documentdb-partitionkeyrangeid"])
    answer = await wire(emulator, "POST", DOCS, [operation("Create", "2")], headers=headers)
    assert (answer.status, answer.substatus) == (410, 1002)


async def test_a_bulk_operation_for_another_range_is_410_by_itself(
    emulator: EmulatorServer,
) -> None:
    container = emulator.engine.container("shop", "cart")
    headers = bulk_headers(emulator, "a")
    mine = headers["x-ms-documentdb-partitionkeyrangeid"]
    other = next(
        name
        for name in map(str, range(100))
        if container.topology.owner_of(container.keys.epk_of((name,))).range_id != mine
    )
    answer = await wire(
        emulator, "POST", DOCS, [operation("Create", "2", cart=other)], headers=headers
    )
    assert [each["statusCode"] for each in answer.json] == [410]


async def test_a_patch_may_be_a_bare_list(emulator: EmulatorServer) -> None:
    body = [{"op": "add", "path": "/n", "value": 5}]
    answer = await wire(emulator, "PATCH", f"{DOCS}/1", body, headers=KEY)
    assert (answer.status, answer.json["n"]) == (200, 5)


@pytest.mark.parametrize(("reads", "bodies"), [(False, 0), (True, 2)])
async def test_a_batch_may_ask_for_no_bodies(
    emulator: EmulatorServer, reads: bool, bodies: int
) -> None:
    operations = [{"operationType": "Upsert", "resourceBody": {"id": "1", "cartId": "a"}}]
    operations += [{"operationType": "Read", "id": "1"}] if reads else []
    headers = {**KEY, "x-ms-cosmos-is-batch-request": "True", "Prefer": "return=minimal"}
    answer = await wire(emulator, "POST", DOCS, operations, headers=headers)
    assert answer.status == 200
    assert sum("resourceBody" in each for each in answer.json) == bodies


async def test_a_document_can_be_renamed(emulator: EmulatorServer) -> None:
    body = {"id": "2", "cartId": "a"}
    assert (await wire(emulator, "PUT", f"{DOCS}/1", body, headers=KEY)).json["id"] == "2"
    assert (await wire(emulator, "GET", f"{DOCS}/1", headers=KEY)).status == 404


async def test_throughput_of_a_database_is_kept(emulator: EmulatorServer) -> None:
    async with CosmosClient(emulator.endpoint, emulator.key) as client:
        database = await client.create_database("shared", offer_throughput=700)
        assert (await database.get_throughput()).offer_throughput == 700
        await database.replace_throughput(900)
        assert (await database.get_throughput()).offer_throughput == 900
        await database.create_container("own", PartitionKey("/id"), offer_throughput=500)
        await database.create_container("sharing", PartitionKey("/id"))
        offers = (await wire(emulator, "GET", "offers")).json["Offers"]
        assert sorted(each["content"]["offerThroughput"] for each in offers) == [400, 500, 900]


@pytest.mark.parametrize(
    ("level", "status"),
    [("Strong", 400), ("BoundedStaleness", 400), ("Session", 200), ("Eventual", 200)],
)
async def test_a_read_cannot_be_more_consistent_than_the_account(
    emulator: EmulatorServer, level: str, status: int
) -> None:
    headers = {**KEY, "x-ms-consistency-level": level}
    assert (await wire(emulator, "GET", f"{DOCS}/1", headers=headers)).status == status


async def test_entity_tags_are_never_indexed(emulator: EmulatorServer) -> None:
    definition = {
        "id": "other",
        "partitionKey": {"paths": ["/id"], "kind": "Hash", "version": "V2"},
        "indexingPolicy": {"indexingMode": "consistent", "includedPaths": [{"path": "/a/?"}]},
    }
    answer = await wire(emulator, "POST", "dbs/shop/colls", definition)
    assert answer.status == 201
    assert answer.json["indexingPolicy"]["excludedPaths"] == [{"path": '/"_etag"/?'}]
    assert answer.json["partitionKey"]["version"] == 2


@pytest.mark.parametrize(
    "more",
    [
        {"computedProperties": [{"name": "x", "query": "SELECT VALUE c.id FROM c"}]},
        {"uniqueKeyPolicy": {"uniqueKeys": [{"paths": ["/a"]}]}},
    ],
)
async def test_what_is_not_done_is_refused(emulator: EmulatorServer, more: dict[str, Any]) -> None:
    definition = {"id": "other", "partitionKey": {"paths": ["/id"]}, **more}
    answer = await wire(emulator, "POST", "dbs/shop/colls", definition)
    assert (answer.status, answer.json["code"]) == (501, "NotImplemented")
    assert next(iter(more)) in answer.json["message"]


async def test_every_answer_about_a_container_names_its_owner(emulator: EmulatorServer) -> None:
    container = await wire(emulator, "GET", "dbs/shop/colls/cart")
    assert container.headers["x-ms-alt-content-path"] == "dbs/shop"
    for path, headers in (("docs/1", KEY), ("pkranges", {}), ("docs", {})):
        answer = await wire(emulator, "GET", f"dbs/shop/colls/cart/{path}", headers=headers)
        assert answer.headers["x-ms-alt-content-path"] == "dbs/shop/colls/cart"


async def test_an_empty_continuation_means_none(emulator: EmulatorServer) -> None:
    answer = await wire(emulator, "GET", DOCS, headers={"x-ms-continuation": ""})
    assert answer.json["_count"] == 1


async def test_the_nested_wire_format_of_the_change_feed(emulator: EmulatorServer) -> None:
    container = emulator.engine.container("shop", "cart")
    owner = container.topology.owner_of(container.keys.epk_of(("a",))).range_id
    nested = {
        **FEED,
        "x-ms-documentdb-partitionkeyrangeid": owner,
        "x-ms-cosmos-changefeed-wire-format-version": "2021-09-15",
    }
    (item,) = (await wire(emulator, "GET", DOCS, headers=nested)).json["Documents"]
    assert item["current"]["id"] == "1"
    assert item["metadata"] == {"lsn": item["current"]["_lsn"], "crts": item["current"]["_ts"]}
    unknown = {**nested, "x-ms-cosmos-changefeed-wire-format-version": "2030-01-01"}
    assert (await wire(emulator, "GET", DOCS, headers=unknown)).status == 400


async def test_metrics_are_for_those_who_ask(emulator: EmulatorServer) -> None:
    asked = {
        **QUERY,
        "x-ms-documentdb-populatequerymetrics": "True",
        "x-ms-cosmos-populateindexmetrics": "True",
    }
    body = {"query": "SELECT * FROM c"}
    answer = await wire(emulator, "POST", DOCS, body, headers=asked)
    metrics = dict(
        each.split("=") for each in answer.headers["x-ms-documentdb-query-metrics"].split(";")
    )
    assert metrics["outputDocumentCount"] == "1"
    index = json.loads(base64.b64decode(answer.headers["x-ms-cosmos-index-utilization"]))
    assert index["UtilizedSingleIndexes"] == []
    plain = await wire(emulator, "POST", DOCS, body, headers=QUERY)
    assert "x-ms-documentdb-query-metrics" not in plain.headers


async def test_one_range_needs_no_permission_to_cross(emulator: EmulatorServer) -> None:
    for name, partitions, status in (("one", 1, 200), ("two", 2, 400)):
        emulator.engine.create_container(
            "shop", {"id": name, "partitionKey": {"paths": ["/id"]}}, partitions=partitions
        )
        headers = {k: v for k, v in QUERY.items() if "cross" not in k}
        body = {"query": "SELECT * FROM c"}
        path = f"dbs/shop/colls/{name}/docs"
        assert (await wire(emulator, "POST", path, body, headers=headers)).status == status


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param('/"le/vel"', 201, id="quoted"),
        pytest.param('/a/"b c"/d', 201, id="quoted part"),
        pytest.param("/id ds", 400, id="white space"),
        pytest.param("/a//b", 400, id="empty part"),
        pytest.param("/a/", 400, id="open end"),
    ],
)
async def test_paths_of_partition_keys(emulator: EmulatorServer, path: str, status: int) -> None:
    definition = {"id": "other", "partitionKey": {"paths": [path]}}
    assert (await wire(emulator, "POST", "dbs/shop/colls", definition)).status == status


async def test_an_object_makes_no_key(emulator: EmulatorServer) -> None:
    body = {"id": "7", "cartId": {"x": 1}}
    undefined = {"x-ms-documentdb-partitionkey": "[{}]"}
    assert (await wire(emulator, "POST", DOCS, body, headers=undefined)).status == 201
    assert (await wire(emulator, "GET", f"{DOCS}/7", headers=undefined)).json["cartId"] == {"x": 1}
