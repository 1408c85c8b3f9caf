"""Figures that clients ask for beside a container, and refusals whose words they look at.

Source: the headers `x-ms-documentdb-populatequotainfo` and `x-ms-documentdb-populatepartitionstatistics`
with the answers that the SDKs read; the messages are those that suites of the SDKs expect.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cosmos_emulator import EmulatorServer
from tests.fixtures.emulator import running_emulator
from tests.fixtures.emulator_wire import wire

COLL = "dbs/shop/colls/cart"
DOCS = f"{COLL}/docs"
KEY = {"x-ms-documentdb-partitionkey": '["k1"]'}
QUOTA = {"x-ms-documentdb-populatequotainfo": "True"}
STATISTICS = {"x-ms-documentdb-populatepartitionstatistics": "True"}
USAGE = "x-ms-resource-usage"


@pytest.fixture
async def emulator() -> AsyncIterator[EmulatorServer]:
    async with running_emulator(partitions=2) as server:
        server.engine.create_database("shop")
        cart = server.engine.create_container(
            "shop", {"id": "cart", "partitionKey": {"paths": ["/key"]}}
        )
        cart.load({"id": str(n), "key": f"k{n % 6}", "text": "x" * 1024} for n in range(20))
        yield server


def told(header: str) -> dict[str, int]:
    return {
        name: int(value)
        for name, _, value in (part.partition("=") for part in header.split(";"))
        if name
    }


async def test_the_size_of_a_container_is_told_when_asked_for(emulator: EmulatorServer) -> None:
    answer = await wire(emulator, "GET", COLL, headers=QUOTA)
    usage = told(answer.headers[USAGE])
    assert usage["documentsCount"] == 20
    assert 20 < usage["collectionSize"] == usage["documentsSize"] < 40
    assert told(answer.headers["x-ms-resource-quota"])["collectionSize"] > 0
    assert answer.headers["x-ms-documentdb-collection-index-transformation-progress"] == "100"

    plain = await wire(emulator, "GET", COLL)
    assert "x-ms-documentdb-collection-index-transformation-progress" not in plain.headers
    assert "statistics" not in plain.json


async def test_the_size_follows_what_is_stored(emulator: EmulatorServer) -> None:
    container = emulator.engine.container("shop", "cart")
    before = sum(partition.size_bytes for partition in container.partitions())
    container.upsert({"id": "1", "key": "k1", "text": "x" * 5024})
    container.delete("2", "k2")
    container.batch([{"operationType": "Delete", "id": "7"}], "k1")
    container.split("0")
    stored = [d for p in container.partitions() for d in p.all_documents()]
    after = sum(partition.size_bytes for partition in container.partitions())
    assert after == sum(len(document.body) for document in stored) != before
    container.merge([partition.range_id for partition in container.partitions()])
    assert container.partitions()[0].size_bytes == after


async def test_statistics_say_what_each_partition_holds(emulator: EmulatorServer) -> None:
    answer = await wire(emulator, "GET", COLL, headers=STATISTICS)
    statistics = answer.json["statistics"]
    assert [each["id"] for each in statistics] == ["0", "1"]
    assert sum(each["documentCount"] for each in statistics) == 20
    assert sum(each["sampledDistinctPartitionKeyCount"] for each in statistics) == 6
    assert all(each["sizeInKB"] >= each["documentCount"] for each in statistics)


@pytest.mark.parametrize(
    ("asked", "status", "kept"),
    [
        (None, 201, {"type": "Geography"}),
        ({"type": "Geometry"}, 201, {"type": "Geometry"}),
        ({"type": "Flat"}, 400, None),
        ("Geometry", 400, None),
    ],
)
async def test_a_container_says_how_its_points_are_read(
    emulator: EmulatorServer, asked: object, status: int, kept: object
) -> None:
    definition: dict[str, Any] = {"id": "other", "partitionKey": {"paths": ["/id"]}}
    definition |= {} if asked is None else {"geospatialConfig": asked}
    answer = await wire(emulator, "POST", "dbs/shop/colls", definition)
    assert answer.status == status
    assert answer.json.get("geospatialConfig") == kept


BATCH = {"x-ms-cosmos-is-batch-request": "True"}
BULK = {**BATCH, "x-ms-cosmos-batch-atomic": "False", "x-ms-documentdb-partitionkeyrangeid": "0"}


@pytest.mark.parametrize(
    ("path", "headers", "body", "message"),
    [
        (DOCS, {**KEY, **BATCH}, [], "Batch request has no operations."),
        (DOCS, BULK, [], "Batch request has no operations."),
        (DOCS, {"x-ms-continuation": "x"}, None, "Invalid Continuation Token"),
        (
            DOCS,
            {"x-ms-continuation": base64.b64encode(json.dumps({"a": 1}).encode()).decode()},
            None,
            "Invalid Continuation Token",
        ),
        (
            "dbs/shop/colls",
            {},
            {"id": "many", "partitionKey": {"paths": ["/a", "/b"]}},
            "Too many partition key paths",
        ),
        (
            "dbs/shop/colls",
            {},
            {
                "id": "many",
                "partitionKey": {"paths": ["/a", "/b", "/c", "/d"], "kind": "MultiHash"},
            },
            "Too many partition key paths",
        ),
    ],
)
async def test_refusals_have_the_words_that_clients_look_at(
    emulator: EmulatorServer,
    path: str,
    headers: dict[str, str],
    body: object,
    message: str,
) -> None:
    answer = await wire(
        emulator, "POST" if body is not None else "GET", path, body, headers=headers
    )
    assert answer.status == 400
    assert answer.json["message"].startswith(message)
