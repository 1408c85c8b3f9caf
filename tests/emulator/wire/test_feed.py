"""The change feed as azure-cosmos reads it, in every form it knows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, CosmosClient
from azure.cosmos.exceptions import CosmosHttpResponseError

from cosmos_emulator import EmulatorServer
from tests.fixtures.emulator import control
from tests.fixtures.emulator_wire import wire

_DOCS = "dbs/shop/colls/cart/docs"


@pytest.fixture
async def container(emulator: EmulatorServer) -> AsyncIterator[ContainerProxy]:
    async with CosmosClient(emulator.endpoint, emulator.key) as client:
        database = await client.create_database("shop")
        yield await database.create_container("cart", PartitionKey(path="/cartId"), default_ttl=-1)


async def fill(container: ContainerProxy, count: int, first: int = 0) -> set[str]:
    names = {str(number) for number in range(first, first + count)}
    for name in names:
        await container.create_item({"id": name, "cartId": f"k{name}"})
    return names


async def ids(feed: Any) -> list[str]:
    return [item["id"] async for item in feed]


async def test_the_whole_container_from_the_beginning(container: ContainerProxy) -> None:
    names = await fill(container, 50)
    fed = await ids(container.query_items_change_feed(start_time="Beginning", max_item_count=7))
    assert len(fed) == 50
    assert set(fed) == names


async def test_from_now_only_what_comes(container: ContainerProxy) -> None:
    await fill(container, 5)
    feed = container.query_items_change_feed(start_time="Now")
    assert await ids(feed) == []
    token = container.client_connection.last_response_headers["etag"]
    names = await fill(container, 5, first=5)
    assert set(await ids(container.query_items_change_feed(continuation=token))) == names


async def test_from_a_time(container: ContainerProxy, emulator: EmulatorServer) -> None:
    await fill(container, 5)
    await control(emulator, "clock", {"offset_seconds": 100})
    names = await fill(container, 5, first=5)
    moment = datetime.now(UTC) + timedelta(seconds=50)
    assert set(await ids(container.query_items_change_feed(start_time=moment))) == names


async def test_from_a_continuation_of_each_feed_range(container: ContainerProxy) -> None:
    names, seen = await fill(container, 40), set()
    async for feed_range in container.read_feed_ranges():
        feed = container.query_items_change_feed(
            feed_range=feed_range, start_time="Beginning", max_item_count=3
        )
        pages: Any = feed.by_page()
        async for page in pages:
            seen.update([item["id"] async for item in page])
        token = pages.continuation_token
        assert await ids(container.query_items_change_feed(continuation=token)) == []
    assert seen == names


async def test_a_held_iterator_is_polled_again(container: ContainerProxy) -> None:
    pages = container.query_items_change_feed(start_time="Beginning").by_page()
    assert [page async for page in pages] == []
    await fill(container, 1)
    page = await anext(pages)
    assert [item["id"] async for item in page] == ["0"]


async def test_a_feed_range_within_a_partition(container: ContainerProxy) -> None:
    names = await fill(container, 40)
    cuts = [f"{number:02X}".ljust(32, "0") for number in range(0x04, 0x40, 4)]
    bounds = ["", *cuts, "FF"]
    fed: list[str] = []
    for low, high in pairwise(bounds):
        window = {"min": low, "max": high, "isMinInclusive": True, "isMaxInclusive": False}
        fed += await ids(
            container.query_items_change_feed(feed_range={"Range": window}, start_time="Beginning")
        )
    assert sorted(fed, key=int) == sorted(names, key=int)


async def test_one_partition_key(container: ContainerProxy) -> None:
    await fill(container, 20)
    feed = container.query_items_change_feed(partition_key="k7", start_time="Beginning")
    assert await ids(feed) == ["7"]


async def test_a_split_while_reading_loses_and_repeats_nothing(
    container: ContainerProxy, emulator: EmulatorServer
) -> None:
    names = await fill(container, 60)
    feed = container.query_items_change_feed(start_time="Beginning", max_item_count=4).by_page()
    fed = [item["id"] async for item in await anext(feed)]
    await control(emulator, "dbs/shop/colls/cart/split", {"range": "0"})
    await control(emulator, "dbs/shop/colls/cart/split", {"range": "4"})
    async for page in feed:
        fed += [item["id"] async for item in page]
    assert len(fed) == 60
    assert set(fed) == names


async def test_a_merge_while_reading_loses_nothing(
    container: ContainerProxy, emulator: EmulatorServer
) -> None:
    names = await fill(container, 60)
    feed = container.query_items_change_feed(start_time="Beginning", max_item_count=4).by_page()
    fed = [item["id"] async for item in await anext(feed)]
    await control(emulator, "dbs/shop/colls/cart/merge", {"ranges": ["0", "1"]})
    async for page in feed:
        fed += [item["id"] async for item in page]
    assert set(fed) == names


async def test_the_other_mode_is_refused(container: ContainerProxy) -> None:
    feed = container.query_items_change_feed(mode="AllVersionsAndDeletes", start_time="Now")
    with pytest.raises(CosmosHttpResponseError) as caught:
        await ids(feed)
    assert caught.value.status_code == 400


async def feed_page(emulator: EmulatorServer, range_id: str = "0", **headers: str) -> Any:
    sent = {
        "A-IM": "Incremental Feed",
        "x-ms-documentdb-partitionkeyrangeid": range_id,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return await wire(emulator, "GET", _DOCS, headers=sent)


async def test_pages_and_their_end_carry_tag_session_and_charge(
    container: ContainerProxy, emulator: EmulatorServer
) -> None:
    await fill(container, 30)
    lsn = emulator.engine.container("shop", "cart").partitions()[0].lsn
    page = await feed_page(emulator, x_ms_max_item_count="-1")
    assert page.headers["etag"] == f'"{lsn}"'
    assert page.json["_count"] == len(page.json["Documents"]) == lsn
    assert page.json["_rid"] == emulator.engine.container("shop", "cart").rid
    end = await feed_page(emulator, If_None_Match=page.headers["etag"])
    assert (end.status, end.body, end.headers["etag"]) == (304, b"", f'"{lsn}"')
    for answer in (page, end):
        assert answer.headers["x-ms-session-token"] == f"0:-1#{lsn}"
    assert float(end.headers["x-ms-request-charge"]) == 1


@pytest.mark.usefixtures("container")
async def test_a_range_that_is_gone_is_410_1002(emulator: EmulatorServer) -> None:
    await control(emulator, "dbs/shop/colls/cart/split", {"range": "0"})
    for range_id in ("0", "77"):
        gone = await feed_page(emulator, range_id)
        assert (gone.status, gone.substatus) == (410, 1002)


@pytest.mark.usefixtures("container")
async def test_a_session_ahead_is_404_1002(emulator: EmulatorServer) -> None:
    ahead = await feed_page(emulator, x_ms_session_token="0:-1#99")
    assert (ahead.status, ahead.substatus) == (404, 1002)
    assert ahead.headers["x-ms-session-token"] == "0:-1#0"


@pytest.mark.parametrize("size", ["0", "-2", "x"])
@pytest.mark.usefixtures("container")
async def test_an_invalid_page_size_is_400(emulator: EmulatorServer, size: str) -> None:
    assert (await feed_page(emulator, x_ms_max_item_count=size)).status == 400


@pytest.mark.usefixtures("container")
async def test_a_feed_over_several_partitions_must_name_one(emulator: EmulatorServer) -> None:
    answer = await wire(emulator, "GET", _DOCS, headers={"A-IM": "Incremental Feed"})
    assert answer.status == 400


@pytest.mark.usefixtures("container")
async def test_a_date_that_is_none_is_400(emulator: EmulatorServer) -> None:
    assert (await feed_page(emulator, If_Modified_Since="yesterday")).status == 400
