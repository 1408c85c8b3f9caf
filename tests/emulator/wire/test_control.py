"""The control requests, and what clients notice of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from azure.core.exceptions import DecodeError, ServiceResponseError
from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, CosmosClient
from azure.cosmos.exceptions import CosmosHttpResponseError

from cosmos_emulator import EmulatorServer
from tests.fixtures.emulator import control
from tests.fixtures.emulator_wire import wire

_CART = "dbs/shop/colls/cart"
_ITEM = f"{_CART}/docs/1"
_KEY = {"x-ms-documentdb-partitionkey": '["a"]'}


@pytest.fixture
async def container(emulator: EmulatorServer) -> AsyncIterator[ContainerProxy]:
    async with CosmosClient(emulator.endpoint, emulator.key, retry_read=0) as client:
        database = await client.create_database("shop")
        container = await database.create_container(
            "cart", PartitionKey(path="/cartId"), default_ttl=-1
        )
        await container.create_item({"id": "1", "cartId": "a"})
        yield container


async def refused(emulator: EmulatorServer, path: str, body: object, method: str = "POST") -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"{emulator.endpoint}_emulator/{path}", json=body) as response,
    ):
        assert (await response.json())["message"]
        return response.status


async def test_a_client_with_a_session_reads_on_after_split_and_merge(
    container: ContainerProxy, emulator: EmulatorServer
) -> None:
    await container.read_item("1", "a")
    children = (await control(emulator, f"{_CART}/split", {"range": "3"}))["children"]
    assert (await container.read_item("1", "a"))["id"] == "1"
    await control(emulator, f"{_CART}/merge", {"ranges": children})
    await container.upsert_item({"id": "1", "cartId": "a", "n": 1})
    assert (await container.read_item("1", "a"))["n"] == 1
    assert len([item async for item in container.query_items("SELECT * FROM c")]) == 1


@pytest.mark.usefixtures("container")
async def test_a_split_may_take_its_time(emulator: EmulatorServer) -> None:
    await control(emulator, f"{_CART}/split", {"range": "0", "completing_ms": 60_000})
    headers = {"A-IM": "Incremental Feed", "x-ms-documentdb-partitionkeyrangeid": "0"}
    answer = await wire(emulator, "GET", f"{_CART}/docs", headers=headers)
    assert (answer.status, answer.substatus) == (410, 1007)


async def test_a_merge_may_lower_the_lsn(
    container: ContainerProxy, emulator: EmulatorServer
) -> None:
    for number in range(20):
        await container.upsert_item({"id": "1", "cartId": "a", "n": number})
    range_id = (await container.read_item("1", "a")).get_response_headers()["x-ms-session-token"][0]
    assert range_id == "3"
    answer = await control(emulator, f"{_CART}/merge", {"ranges": ["2", "3"], "lsn": 5})
    ranges = (await control(emulator, "stats", method="GET"))["ranges"]
    assert [each["lsn"] for each in ranges if each["id"] == answer["child"]] == [5]


@pytest.mark.parametrize(
    ("status", "substatus"),
    [(429, 3200), (449, 0), (503, 0), (403, 5300), (410, 1002), (404, 1003)],
)
@pytest.mark.usefixtures("container")
async def test_a_fault_answers_instead(
    emulator: EmulatorServer, status: int, substatus: int
) -> None:
    fault = {"operation": "read_item", "status": status, "substatus": substatus, "times": 1}
    await control(emulator, "faults", {**fault, "retry_after_ms": 7})
    answer = await wire(emulator, "GET", _ITEM, headers=_KEY)
    assert (answer.status, answer.substatus) == (status, substatus)
    assert answer.headers["x-ms-retry-after-ms"] == "7"
    assert (await wire(emulator, "GET", _ITEM, headers=_KEY)).status == 200


async def test_the_client_waits_out_throttling(
    container: ContainerProxy, emulator: EmulatorServer
) -> None:
    fault = {"operation": "read_item", "status": 429, "retry_after_ms": 1, "times": 3}
    await control(emulator, "faults", fault)
    assert (await container.read_item("1", "a"))["id"] == "1"
    operations = (await control(emulator, "stats", method="GET"))["operations"]
    assert operations["read_item"]["requests"] == 4


@pytest.mark.parametrize(
    ("fault", "strikes"),
    [
        pytest.param({"method": "GET"}, True, id="method"),
        pytest.param({"method": "POST"}, False, id="another method"),
        pytest.param({"path_prefix": "/dbs/shop/colls/cart"}, True, id="path"),
        pytest.param({"path_prefix": "/dbs/shop/colls/lease"}, False, id="another path"),
        pytest.param({"operation": "read_item"}, True, id="operation"),
        pytest.param({"operation": "change_feed"}, False, id="another operation"),
        pytest.param({"range": "0"}, False, id="a range"),
        pytest.param({"method": "GET", "operation": "change_feed"}, False, id="all must match"),
    ],
)
@pytest.mark.usefixtures("container")
async def test_a_fault_strikes_what_matches(
    emulator: EmulatorServer, fault: dict[str, Any], strikes: bool
) -> None:
    await control(emulator, "faults", {**fault, "status": 500})
    assert (await wire(emulator, "GET", _ITEM, headers=_KEY)).status == (500 if strikes else 200)
    assert await control(emulator, "faults", method="DELETE") == {"removed": 1}
    assert (await wire(emulator, "GET", _ITEM, headers=_KEY)).status == 200


@pytest.mark.usefixtures("container")
async def test_faults_are_listed_with_the_times_left(emulator: EmulatorServer) -> None:
    await control(emulator, "faults", {"operation": "read_item", "status": 500, "times": 3})
    await control(emulator, "faults", {"operation": "batch", "action": "hang"})
    await wire(emulator, "GET", _ITEM, headers=_KEY)
    listed = (await control(emulator, "faults", method="GET"))["faults"]
    assert listed == [
        {"operation": "read_item", "status": 500, "times": 2},
        {"operation": "batch", "action": "hang"},
    ]


async def test_a_dropped_request_is_not_carried_out(
    container: ContainerProxy, emulator: EmulatorServer
) -> None:
    await control(emulator, "faults", {"operation": "delete_item", "action": "drop"})
    with pytest.raises(aiohttp.ClientError):
        await wire(emulator, "DELETE", _ITEM, headers=_KEY)
    assert (await container.read_item("1", "a"))["id"] == "1"


async def test_a_truncated_answer_was_carried_out(
    container: ContainerProxy, emulator: EmulatorServer
) -> None:
    await control(
        emulator, "faults", {"operation": "create_item", "action": "truncate", "times": 1}
    )
    with pytest.raises((ServiceResponseError, aiohttp.ClientPayloadError, DecodeError)):
        await container.create_item({"id": "2", "cartId": "a"})
    assert (await container.read_item("2", "a"))["id"] == "2"


async def test_a_hanging_request_ends_with_the_clients_patience(
    container: ContainerProxy, emulator: EmulatorServer
) -> None:
    await control(emulator, "faults", {"operation": "delete_item", "action": "hang"})
    with pytest.raises(ServiceResponseError):
        await container.delete_item("1", "a", read_timeout=0.05)


async def test_a_hanging_request_ends_with_the_server(emulator: EmulatorServer) -> None:
    await control(emulator, "faults", {"method": "GET", "action": "hang"})
    async with asyncio.TaskGroup() as group:
        hanging = group.create_task(_fails(emulator))
        async with asyncio.timeout(60):
            while not (await control(emulator, "stats", method="GET"))["waiting"]:
                pass  # asking is waiting enough
        await emulator.stop()
    assert hanging.result()


async def _fails(emulator: EmulatorServer) -> bool:
    try:
        await wire(emulator, "GET", "dbs")
    except aiohttp.ClientError:
        return True
    return False


async def test_a_delay_comes_before_a_normal_answer(
    container: ContainerProxy, emulator: EmulatorServer
) -> None:
    await control(emulator, "faults", {"operation": "read_item", "delay_ms": 30})
    loop = asyncio.get_running_loop()
    before = loop.time()
    assert (await container.read_item("1", "a"))["id"] == "1"
    assert loop.time() - before >= 0.03


@pytest.mark.parametrize(
    "fault",
    [
        {},
        {"operation": "read_item"},
        {"status": "500"},
        {"status": True},
        {"action": "explode"},
        {"status": 500, "times": 0},
        {"status": 500, "sub_status": 3},
        {"delay_ms": -1},
    ],
    ids=str,
)
async def test_a_fault_that_makes_no_sense_is_400(emulator: EmulatorServer, fault: object) -> None:
    assert await refused(emulator, "faults", fault) == 400


async def test_purging_removes_what_has_expired(
    container: ContainerProxy, emulator: EmulatorServer
) -> None:
    await container.create_item({"id": "2", "cartId": "a", "ttl": 1})
    await control(emulator, "clock", {"offset_seconds": 10})
    assert await control(emulator, "purge") == {"purged": 1}
    assert await control(emulator, "purge") == {"purged": 0}
    ranges = (await control(emulator, "stats", method="GET"))["ranges"]
    assert [(each["lsn"], each["documents"]) for each in ranges if each["id"] == "3"] == [(3, 1)]


async def test_stats_count_requests_and_units_by_operation(
    container: ContainerProxy, emulator: EmulatorServer
) -> None:
    await control(emulator, "stats", method="DELETE")
    await container.read_item("1", "a")
    await container.upsert_item({"id": "1", "cartId": "a"})
    stats = await control(emulator, "stats", method="GET")
    assert stats["operations"]["read_item"] == {"requests": 1, "request_units": 1.0}
    assert stats["operations"]["upsert_item"]["request_units"] > 5
    assert [each["id"] for each in stats["ranges"]] == ["0", "1", "2", "3"]
    assert sum(each["documents"] for each in stats["ranges"]) == 1


@pytest.mark.usefixtures("container")
async def test_raw_bytes_come_out_as_they_went_in(emulator: EmulatorServer) -> None:
    body = b'{"id":"raw","cartId":"a","quantity":NaN,"item":"\xff\xfe"}'
    await control(emulator, f"{_CART}/raw", body)
    read = await wire(emulator, "GET", f"{_CART}/docs/raw", headers=_KEY)
    assert read.body.startswith(body[:-1])
    headers = {"A-IM": "Incremental Feed", "x-ms-documentdb-partitionkeyrangeid": "3"}
    fed = await wire(emulator, "GET", f"{_CART}/docs", headers=headers)
    assert body[:-1] in fed.body


@pytest.mark.usefixtures("container")
async def test_raw_bytes_may_have_their_identity_beside_them(emulator: EmulatorServer) -> None:
    path = f"{_CART}/raw?id=odd&partitionKey=[%22a%22]"
    answer = await control(emulator, path, b'{"id": oops}')
    assert answer["status"] == 201
    read = await wire(emulator, "GET", f"{_CART}/docs/odd", headers=_KEY)
    assert read.body.startswith(b'{"id": oops,"_rid"')


async def test_a_bulk_load_takes_lines_of_any_length(
    container: ContainerProxy, emulator: EmulatorServer
) -> None:
    documents = [{"id": f"b{n}", "cartId": f"k{n}", "text": "x" * (n * 900)} for n in range(300)]
    lines = "\n".join(json.dumps(document) for document in documents)
    assert await control(emulator, f"{_CART}/bulk", lines.encode()) == {"loaded": 300}
    feed = container.query_items_change_feed(start_time="Beginning")
    assert len([item async for item in feed]) == 301


@pytest.mark.usefixtures("container")
async def test_a_bulk_load_stops_at_a_bad_line(emulator: EmulatorServer) -> None:
    async with aiohttp.ClientSession() as session:
        url = f"{emulator.endpoint}_emulator/{_CART}/bulk"
        body = b'{"id":"b1","cartId":"a"}\n{"id":1}\n'
        async with session.post(url, data=body) as response:
            assert response.status == 400
            assert "required properties" in (await response.json())["message"]


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("dbs/shop/colls/none/split", "POST", 404),
        ("dbs/shop/colls/cart/split", "POST", 400),
        ("dbs/shop/colls/cart/merge", "POST", 400),
        ("dbs/shop/colls/cart/explode", "POST", 404),
        ("dbs/shop/colls/cart/raw", "POST", 400),
        ("dbs/shop/bulk", "POST", 404),
        ("clock", "POST", 400),
        ("nothing", "GET", 404),
    ],
)
@pytest.mark.usefixtures("container")
async def test_control_requests_that_make_no_sense_are_refused(
    emulator: EmulatorServer, path: str, method: str, status: int
) -> None:
    assert await refused(emulator, path, {}, method) == status


async def test_an_endless_410_is_passed_on_by_point_reads(
    container: ContainerProxy, emulator: EmulatorServer
) -> None:
    fault = {"operation": "read_item", "status": 410, "substatus": 1002}
    await control(emulator, "faults", fault)
    with pytest.raises(CosmosHttpResponseError) as caught:
        await container.read_item("1", "a")
    assert (caught.value.status_code, caught.value.sub_status) == (410, 1002)
