"""What a program in Python does with a container, by the asynchronous client as it is published."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from itertools import chain
from typing import Any

import pytest
from azure.core import MatchConditions
from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, CosmosClient, DatabaseProxy
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosBatchOperationError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)

from clients.python import emulator
from clients.python.emulator import documents, numbers

NewContainer = Callable[..., Awaitable[ContainerProxy]]


@pytest.fixture
async def database() -> AsyncIterator[DatabaseProxy]:
    async with CosmosClient(emulator.ENDPOINT, emulator.KEY) as client:
        yield await client.create_database_if_not_exists(emulator.DATABASE)


@pytest.fixture
def new_container(database: DatabaseProxy) -> NewContainer:
    async def make(key: PartitionKey | None = None, **options: Any) -> ContainerProxy:
        made: ContainerProxy = await database.create_container(
            emulator.new_name(), key or PartitionKey("/cartId"), **options
        )
        return made

    return make


@pytest.fixture
async def carts(new_container: NewContainer) -> ContainerProxy:
    return await new_container()


async def fill(carts: ContainerProxy, count: int) -> None:
    for each in documents(count):
        await carts.create_item(each)


async def all_of(found: AsyncIterable[Any]) -> list[Any]:
    return [each async for each in found]


async def query(carts: ContainerProxy, text: str, **options: Any) -> list[Any]:
    return await all_of(carts.query_items(text, **options))


async def test_databases_and_containers(
    database: DatabaseProxy, new_container: NewContainer
) -> None:
    carts = await new_container(default_ttl=60, offer_throughput=700)
    assert (await carts.read())["defaultTtl"] == 60
    assert (await carts.get_throughput()).offer_throughput == 700
    assert carts.id in {each["id"] async for each in database.list_containers()}
    await database.replace_container(carts, PartitionKey("/cartId"), default_ttl=-1)
    assert (await carts.read())["defaultTtl"] == -1
    await database.delete_container(carts)
    with pytest.raises(CosmosResourceNotFoundError):
        await carts.read()


async def test_documents(carts: ContainerProxy) -> None:
    mug = {"id": "1", "cartId": "a", "name": "Mug"}
    await carts.create_item(mug)
    with pytest.raises(CosmosResourceExistsError):
        await carts.create_item(mug)
    read = await carts.read_item("1", "a")
    assert read["name"] == "Mug"
    assert (await carts.replace_item(read, {**read, "name": "Cup"}))["name"] == "Cup"
    assert (await carts.upsert_item({**mug, "name": "Jug"}))["name"] == "Jug"
    await carts.delete_item(read, "a")
    with pytest.raises(CosmosResourceNotFoundError):
        await carts.read_item("1", "a")


@pytest.mark.parametrize(
    "name", ["a b", "50%", "été", "購物車", "a+b", "q&a=1", "'q'", '"q"', "a,b;c"]
)
async def test_ids_of_all_kinds(carts: ContainerProxy, name: str) -> None:
    await carts.create_item({"id": name, "cartId": name})
    assert (await carts.read_item(name, name))["id"] == name
    await carts.delete_item(name, name)


@pytest.mark.parametrize("key", ["", "x" * 200, 0, -1.5, True, None])
async def test_partition_keys_of_all_kinds(carts: ContainerProxy, key: Any) -> None:
    await carts.create_item({"id": "1", "cartId": key})
    assert (await carts.read_item("1", key))["cartId"] == key


async def test_a_key_of_three_levels(new_container: NewContainer) -> None:
    carts = await new_container(PartitionKey(["/shop", "/day", "/cartId"], kind="MultiHash"))
    for n in range(12):
        shop, day, cart = f"s{n % 2}", f"d{n % 3}", f"c{n}"
        await carts.create_item({"id": str(n), "shop": shop, "day": day, "cartId": cart, "n": n})
    assert (await carts.read_item("5", ["s1", "d2", "c5"]))["n"] == 5
    found = carts.query_items("SELECT * FROM c", partition_key=["s1"], max_item_count=2)
    assert numbers(await all_of(found)) == [1, 3, 5, 7, 9, 11]


async def test_an_etag_guards_a_write(carts: ContainerProxy) -> None:
    created = await carts.create_item({"id": "1", "cartId": "a"})
    condition = {"etag": created["_etag"], "match_condition": MatchConditions.IfNotModified}
    await carts.replace_item("1", {**created, "n": 1}, **condition)
    with pytest.raises(CosmosAccessConditionFailedError):
        await carts.replace_item("1", {**created, "n": 2}, **condition)


async def test_queries_with_small_pages_meet_every_document_once(carts: ContainerProxy) -> None:
    await fill(carts, 30)
    pages = carts.query_items("SELECT * FROM c", max_item_count=4).by_page()
    found = [await all_of(page) async for page in pages]
    assert max(map(len, found)) <= 4
    assert numbers(chain.from_iterable(found)) == list(range(30))
    assert numbers(await all_of(carts.read_all_items(max_item_count=4))) == list(range(30))


async def test_queries_with_parameters_in_one_partition(carts: ContainerProxy) -> None:
    await fill(carts, 9)
    found = carts.query_items(
        "SELECT * FROM c WHERE c.n >= @least",
        parameters=[{"name": "@least", "value": 4}],
        partition_key="cart 1",
        populate_query_metrics=True,
        populate_index_metrics=True,
    )
    assert numbers(await all_of(found)) == [4, 5]


async def test_a_query_goes_on_by_its_continuation(carts: ContainerProxy) -> None:
    await fill(carts, 12)
    await carts.create_item({"id": "last", "cartId": "cart 1", "n": 12})
    found: list[Any] = []
    token = None
    while True:
        pages = carts.query_items(
            "SELECT * FROM c", partition_key="cart 1", max_item_count=1
        ).by_page(token)
        found += await all_of(await anext(pages))
        token = getattr(pages, "continuation_token", None)
        if not token:
            break
    assert numbers(found) == [3, 4, 5, 12]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT VALUE c.n FROM c ORDER BY c.n DESC", list(range(29, -1, -1))),
        ("SELECT VALUE c.n FROM c ORDER BY c.n OFFSET 10 LIMIT 5", [10, 11, 12, 13, 14]),
        ("SELECT TOP 3 VALUE c.n FROM c ORDER BY c.n", [0, 1, 2]),
        ("SELECT VALUE COUNT(1) FROM c", [30]),
        ("SELECT VALUE SUM(c.n) FROM c WHERE c.n < 4", [6]),
        ("SELECT DISTINCT VALUE c.cartId FROM c WHERE c.n < 3", ["cart 0"]),
    ],
)
async def test_queries_over_all_partitions(
    carts: ContainerProxy, text: str, expected: list[Any]
) -> None:
    await fill(carts, 30)
    assert await query(carts, text, max_item_count=4) == expected


async def test_queries_go_on_when_ranges_split_between_two_pages(carts: ContainerProxy) -> None:
    await fill(carts, 30)
    pages = carts.query_items("SELECT * FROM c", max_item_count=2).by_page()
    found = await all_of(await anext(pages))
    for each in ("0", "1", "2", "3"):
        emulator.split(carts.id, each)
    async for page in pages:
        found += await all_of(page)
    assert numbers(found) == list(range(30))


@pytest.mark.skipif(not hasattr(ContainerProxy, "read_items"), reason="newer than this SDK")
async def test_many_documents_are_read_at_once(carts: ContainerProxy) -> None:
    await fill(carts, 30)
    emulator.split(carts.id, "0")
    wanted: list[tuple[str, Any]] = [(each["id"], each["cartId"]) for each in documents(30)]
    assert numbers(await carts.read_items([*wanted, ("none", "cart 1")])) == list(range(30))


async def changes(carts: ContainerProxy, **start: Any) -> tuple[list[Any], str]:
    pages: Any = carts.query_items_change_feed(max_item_count=5, **start).by_page()
    found = [each async for page in pages async for each in page]
    return found, pages.continuation_token


async def test_the_change_feed_goes_on_across_a_split_and_a_merge(carts: ContainerProxy) -> None:
    await fill(carts, 12)
    first, token = await changes(carts, start_time="Beginning")
    assert numbers(first) == list(range(12))

    children = emulator.split(carts.id, "0")
    for n in range(6):
        await carts.create_item({"id": f"s{n}", "cartId": f"split {n}", "n": 200 + n})
    second, token = await changes(carts, continuation=token)
    assert numbers(second) == list(range(200, 206))

    emulator.merge(carts.id, children)
    for n in range(6):
        await carts.create_item({"id": f"m{n}", "cartId": f"merged {n}", "n": 300 + n})
    third, _ = await changes(carts, continuation=token)
    assert numbers(third) == list(range(300, 306))
    assert len((await changes(carts, start_time="Beginning"))[0]) == 24


async def test_the_change_feed_of_a_key_and_of_each_range(carts: ContainerProxy) -> None:
    await fill(carts, 12)
    found, _ = await changes(carts, start_time="Beginning", partition_key="cart 1")
    assert numbers(found) == [3, 4, 5]
    ranges = await all_of(carts.read_feed_ranges())
    assert len(ranges) == 4
    parts = [(await changes(carts, start_time="Beginning", feed_range=each))[0] for each in ranges]
    assert numbers(chain.from_iterable(parts)) == list(range(12))


async def test_a_batch_is_done_whole_or_not_at_all(carts: ContainerProxy) -> None:
    one, two = ({"id": each, "cartId": "a", "n": 1} for each in "12")
    increment = [{"op": "incr", "path": "/n", "value": 2}]
    operations: list[Any] = [
        ("create", (one,)),
        ("upsert", (two,)),
        ("patch", ("1", increment)),
        ("read", ("1",)),
        ("replace", ("2", two)),
        ("delete", ("2",)),
    ]
    done = await carts.execute_item_batch(operations, "a")
    assert [each["statusCode"] for each in done] == [201, 201, 200, 200, 200, 204]
    assert done[3]["resourceBody"]["n"] == 3
    with pytest.raises(CosmosBatchOperationError) as refused:
        await carts.execute_item_batch([("create", (two,)), ("create", (one,))], "a")
    assert (refused.value.error_index, refused.value.status_code) == (1, 409)
    with pytest.raises(CosmosResourceNotFoundError):
        await carts.read_item("2", "a")


async def test_a_patch_sets_adds_increments_replaces_moves_and_removes(
    carts: ContainerProxy,
) -> None:
    await carts.create_item({"id": "1", "cartId": "a", "n": 1, "tags": ["x"], "old": 1, "from": 7})
    operations: list[dict[str, Any]] = [
        {"op": "set", "path": "/name", "value": "Mug"},
        {"op": "add", "path": "/tags/-", "value": "y"},
        {"op": "incr", "path": "/n", "value": 4},
        {"op": "replace", "path": "/tags/0", "value": "z"},
        {"op": "move", "from": "/from", "path": "/to"},
        {"op": "remove", "path": "/old"},
    ]
    patched = await carts.patch_item("1", "a", operations)
    own = {name: value for name, value in patched.items() if name[0] != "_"}
    assert own == {"id": "1", "cartId": "a", "n": 5, "tags": ["z", "y"], "name": "Mug", "to": 7}
    reset = [{"op": "set", "path": "/n", "value": 0}]
    with pytest.raises(CosmosAccessConditionFailedError):
        await carts.patch_item("1", "a", reset, filter_predicate="FROM c WHERE c.n = 1")


async def test_documents_expire(new_container: NewContainer) -> None:
    carts = await new_container(default_ttl=100)
    await carts.create_item({"id": "short", "cartId": "a", "ttl": 10})
    await carts.create_item({"id": "usual", "cartId": "a"})
    await carts.create_item({"id": "forever", "cartId": "a", "ttl": -1})
    ids = "SELECT VALUE c.id FROM c"
    try:
        emulator.shift_clock(11)
        assert sorted(await query(carts, ids)) == ["forever", "usual"]
        emulator.shift_clock(101)
        assert await query(carts, ids) == ["forever"]
    finally:
        emulator.shift_clock(0)


async def test_all_documents_of_a_key_are_deleted(carts: ContainerProxy) -> None:
    await fill(carts, 9)
    await carts.delete_all_items_by_partition_key("cart 1")
    assert numbers(await all_of(carts.read_all_items())) == [0, 1, 2, 6, 7, 8]


async def test_a_throttled_request_is_tried_again(carts: ContainerProxy) -> None:
    path = f"/dbs/{emulator.DATABASE}/colls/{carts.id}"
    strike = {"status": 429, "substatus": 3200, "retry_after_ms": 1, "times": 3}
    emulator.control("faults", {"path_prefix": path, "method": "POST", **strike})
    assert (await carts.create_item({"id": "1", "cartId": "a"}))["id"] == "1"
