"""How query results are addressed and paged; the query language has tests of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, CosmosClient

from cosmos_emulator import EmulatorServer
from tests.fixtures.emulator import control
from tests.fixtures.emulator_wire import wire

_DOCS = "dbs/shop/colls/cart/docs"
_QUERY = {"x-ms-documentdb-isquery": "true", "Content-Type": "application/query+json"}
_CROSS = {"x-ms-documentdb-query-enablecrosspartition": "True"}


@pytest.fixture
async def container(emulator: EmulatorServer) -> AsyncIterator[ContainerProxy]:
    async with CosmosClient(emulator.endpoint, emulator.key) as client:
        database = await client.create_database("shop")
        container = await database.create_container("cart", PartitionKey(path="/cartId"))
        emulator.engine.container("shop", "cart").load(
            {"id": str(n), "cartId": f"k{n % 10}", "n": n} for n in range(250)
        )
        yield container


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("SELECT * FROM c", id="everything"),
        pytest.param("SELECT * FROM c WHERE c.n >= 0", id="filtered"),
        pytest.param("SELECT * FROM c ORDER BY c.n DESC", id="sorted"),
        pytest.param("SELECT c.id, c.n FROM c", id="projected"),
    ],
)
@pytest.mark.parametrize("size", [1000, 100, 7])
async def test_pages_hold_every_row_once(container: ContainerProxy, query: str, size: int) -> None:
    pages = container.query_items(query, max_item_count=size).by_page()
    sizes, found = [], []
    async for page in pages:
        rows = [item["n"] async for item in page]
        sizes.append(len(rows))
        found += rows
    assert sorted(found) == list(range(250))
    assert all(rows == size for rows in sizes[:-1])
    if "DESC" in query:
        assert found == list(range(249, -1, -1))


async def test_a_page_has_a_hundred_rows_unless_told_otherwise(emulator: EmulatorServer) -> None:
    async with CosmosClient(emulator.endpoint, emulator.key) as client:
        database = await client.create_database("shop")
        await database.create_container("cart", PartitionKey(path="/cartId"))
        emulator.engine.container("shop", "cart").load(
            {"id": str(n), "cartId": "a"} for n in range(250)
        )
    answer = await wire(emulator, "GET", _DOCS)
    assert answer.json["_count"] == 100
    assert answer.headers["x-ms-item-count"] == "100"
    everything = await wire(emulator, "GET", _DOCS, headers={"x-ms-max-item-count": "-1"})
    assert everything.json["_count"] == 250
    assert "x-ms-continuation" not in everything.headers


async def test_a_saved_continuation_goes_on_where_it_stood(container: ContainerProxy) -> None:
    pages: Any = container.query_items("SELECT * FROM c WHERE true", max_item_count=60).by_page()
    first = [item["n"] async for item in await anext(pages)]
    token = pages.continuation_token
    await anext(pages)
    for _ in range(2):
        again = container.query_items("SELECT * FROM c WHERE true", max_item_count=60)
        rest = [item["n"] async for page in again.by_page(token) async for item in page]
        assert sorted(first + rest) == list(range(250))


async def test_a_continuation_outlives_its_place_in_memory(container: ContainerProxy) -> None:
    query = "SELECT * FROM c WHERE true"
    pages = container.query_items(query, max_item_count=200).by_page()
    first = [item["n"] async for item in await anext(pages)]
    for _ in range(40):
        others = container.query_items(query, max_item_count=10).by_page()
        await anext(others)
    rest = [item["n"] async for page in pages async for item in page]
    assert sorted(first + rest) == list(range(250))


@pytest.mark.usefixtures("container")
async def test_a_continuation_of_nobody_is_400(emulator: EmulatorServer) -> None:
    answer = await wire(emulator, "GET", _DOCS, headers={"x-ms-continuation": "nonsense"})
    assert answer.status == 400


async def test_a_page_stays_below_four_megabytes(
    container: ContainerProxy, emulator: EmulatorServer
) -> None:
    text = "x" * 1_000_000
    emulator.engine.container("shop", "cart").load(
        {"id": f"big{n}", "cartId": "big", "text": text} for n in range(9)
    )
    pages = container.query_items("SELECT * FROM c WHERE c.cartId = 'big'", max_item_count=-1)
    assert [len([i async for i in page]) async for page in pages.by_page()] == [4, 4, 1]


async def test_a_partition_key_a_range_and_a_feed_range_restrict(container: ContainerProxy) -> None:
    query = "SELECT VALUE c.n FROM c"
    one_key: Any = container.query_items(query, partition_key="k3")
    assert sorted([n async for n in one_key]) == list(range(3, 250, 10))
    listed = container.read_all_items()
    assert len([item async for item in listed]) == 250
    found: list[Any] = []
    async for feed_range in container.read_feed_ranges():
        found += [n async for n in container.query_items(query, feed_range=feed_range)]
    assert sorted(found) == list(range(250))


@pytest.mark.usefixtures("container")
async def test_a_query_over_everything_must_say_so(emulator: EmulatorServer) -> None:
    body = {"query": "SELECT * FROM c"}
    refused = await wire(emulator, "POST", _DOCS, body, headers=_QUERY)
    assert (refused.status, refused.substatus) == (400, 0)
    assert "Cross partition query is required but disabled" in refused.json["message"]
    assert (await wire(emulator, "POST", _DOCS, body, headers={**_QUERY, **_CROSS})).status == 200


@pytest.mark.usefixtures("container")
async def test_a_range_that_is_gone_is_410(emulator: EmulatorServer) -> None:
    headers = {**_QUERY, "x-ms-documentdb-partitionkeyrangeid": "9"}
    gone = await wire(emulator, "POST", _DOCS, {"query": "SELECT * FROM c"}, headers=headers)
    assert (gone.status, gone.substatus) == (410, 1002)


async def test_queries_go_on_after_a_split(
    container: ContainerProxy, emulator: EmulatorServer
) -> None:
    [_ async for _ in container.read_feed_ranges()]
    await control(emulator, "dbs/shop/colls/cart/split", {"range": "0"})
    counted: Any = container.query_items("SELECT VALUE COUNT(1) FROM c")
    assert [n async for n in counted] == [250]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"query":1}', b'{"query":"SELECT 1","parameters":{}}']
)
@pytest.mark.usefixtures("container")
async def test_a_malformed_query_request_is_400(emulator: EmulatorServer, body: bytes) -> None:
    answer = await wire(emulator, "POST", _DOCS, body, headers={**_QUERY, **_CROSS})
    assert answer.status == 400


@pytest.mark.usefixtures("container")
async def test_whole_documents_keep_their_numbers_as_written(emulator: EmulatorServer) -> None:
    for name in (b"1", b"2", b"3"):
        raw = b'{"id":"%b","cartId":"raw","n":%b.50,"big":%b}' % (name, name, b"7" * 40)
        await control(emulator, "dbs/shop/colls/cart/raw", raw)
    for query in (
        "SELECT * FROM c WHERE c.cartId='raw'",
        "SELECT * FROM c WHERE c.cartId='raw' ORDER BY c.n",
    ):
        body: dict[str, Any] = {"query": query}
        answer = await wire(emulator, "POST", _DOCS, body, headers={**_QUERY, **_CROSS})
        for name in (b"1", b"2", b"3"):
            assert b'"n":%b.50,"big":%b' % (name, b"7" * 40) in answer.body


@pytest.mark.usefixtures("container")
async def test_a_query_answer_has_the_session_of_all_its_ranges(emulator: EmulatorServer) -> None:
    body = {"query": "SELECT * FROM c"}
    answer = await wire(emulator, "POST", _DOCS, body, headers={**_QUERY, **_CROSS})
    tokens = answer.headers["x-ms-session-token"].split(",")
    assert [token.split(":")[0] for token in tokens] == ["0", "1", "2", "3"]
