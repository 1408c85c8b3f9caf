"""What a program in Python does with a container, by the blocking client as it is published."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import pytest
from azure.core import MatchConditions
from azure.cosmos import ContainerProxy, CosmosClient, DatabaseProxy, PartitionKey
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosBatchOperationError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)

from clients.python import emulator
from clients.python.emulator import documents, numbers

NewContainer = Callable[..., ContainerProxy]


@pytest.fixture(scope="module")
def database() -> Iterator[DatabaseProxy]:
    with CosmosClient(emulator.ENDPOINT, emulator.KEY) as client:
        yield client.create_database_if_not_exists(emulator.DATABASE)


@pytest.fixture
def new_container(database: DatabaseProxy) -> NewContainer:
    def make(key: PartitionKey | None = None, **options: Any) -> ContainerProxy:
        made: ContainerProxy = database.create_container(
            emulator.new_name(), key or PartitionKey("/cartId"), **options
        )
        return made

    return make


@pytest.fixture
def carts(new_container: NewContainer) -> ContainerProxy:
    return new_container()


def fill(carts: ContainerProxy, count: int) -> None:
    for each in documents(count):
        carts.create_item(each)


def query(carts: ContainerProxy, text: str, **options: Any) -> list[Any]:
    return list(carts.query_items(text, enable_cross_partition_query=True, **options))


def test_databases_and_containers(database: DatabaseProxy, new_container: NewContainer) -> None:
    carts = new_container(default_ttl=60, offer_throughput=700)
    assert carts.read()["defaultTtl"] == 60
    assert carts.get_throughput().offer_throughput == 700
    assert carts.id in {each["id"] for each in database.list_containers()}
    database.replace_container(carts, PartitionKey("/cartId"), default_ttl=-1)
    assert carts.read()["defaultTtl"] == -1
    database.delete_container(carts)
    with pytest.raises(CosmosResourceNotFoundError):
        carts.read()


def test_documents(carts: ContainerProxy) -> None:
    mug = {"id": "1", "cartId": "a", "name": "Mug"}
    carts.create_item(mug)
    with pytest.raises(CosmosResourceExistsError):
        carts.create_item(mug)
    read = carts.read_item("1", "a")
    assert read["name"] == "Mug"
    assert carts.replace_item(read, {**read, "name": "Cup"})["name"] == "Cup"
    assert carts.upsert_item({**mug, "name": "Jug"})["name"] == "Jug"
    carts.delete_item(read, "a")
    with pytest.raises(CosmosResourceNotFoundError):
        carts.read_item("1", "a")


@pytest.mark.parametrize(
    "name", ["a b", "50%", "été", "購物車", "a+b", "q&a=1", "'q'", '"q"', "a,b;c"]
)
def test_ids_of_all_kinds(carts: ContainerProxy, name: str) -> None:
    carts.create_item({"id": name, "cartId": name})
    assert carts.read_item(name, name)["id"] == name
    carts.delete_item(name, name)


@pytest.mark.parametrize("key", ["", "x" * 200, 0, -1.5, True, None])
def test_partition_keys_of_all_kinds(carts: ContainerProxy, key: Any) -> None:
    carts.create_item({"id": "1", "cartId": key})
    assert carts.read_item("1", key)["cartId"] == key


def test_a_key_of_three_levels(new_container: NewContainer) -> None:
    carts = new_container(PartitionKey(["/shop", "/day", "/cartId"], kind="MultiHash"))
    for n in range(12):
        shop, day, cart = f"s{n % 2}", f"d{n % 3}", f"c{n}"
        carts.create_item({"id": str(n), "shop": shop, "day": day, "cartId": cart, "n": n})
    assert carts.read_item("5", ["s1", "d2", "c5"])["n"] == 5
    found = carts.query_items("SELECT * FROM c", partition_key=["s1"], max_item_count=2)
    assert numbers(found) == [1, 3, 5, 7, 9, 11]


def test_an_etag_guards_a_write(carts: ContainerProxy) -> None:
    created = carts.create_item({"id": "1", "cartId": "a"})
    condition = {"etag": created["_etag"], "match_condition": MatchConditions.IfNotModified}
    carts.replace_item("1", {**created, "n": 1}, **condition)
    with pytest.raises(CosmosAccessConditionFailedError):
        carts.replace_item("1", {**created, "n": 2}, **condition)


def test_queries_with_small_pages_meet_every_document_once(carts: ContainerProxy) -> None:
    fill(carts, 30)
    pages = carts.query_items(
        "SELECT * FROM c", enable_cross_partition_query=True, max_item_count=4
    ).by_page()
    found = [list(page) for page in pages]
    assert max(map(len, found)) <= 4
    assert numbers(chain.from_iterable(found)) == list(range(30))
    assert numbers(carts.read_all_items(max_item_count=4)) == list(range(30))


def test_queries_with_parameters_in_one_partition(carts: ContainerProxy) -> None:
    fill(carts, 9)
    found = carts.query_items(
        "SELECT * FROM c WHERE c.n >= @least",
        parameters=[{"name": "@least", "value": 4}],
        partition_key="cart 1",
        populate_query_metrics=True,
        populate_index_metrics=True,
    )
    assert numbers(found) == [4, 5]


def test_a_query_goes_on_by_its_continuation(carts: ContainerProxy) -> None:
    fill(carts, 12)
    carts.create_item({"id": "last", "cartId": "cart 1", "n": 12})
    found: list[Any] = []
    token = None
    while True:
        pages = carts.query_items(
            "SELECT * FROM c", partition_key="cart 1", max_item_count=1
        ).by_page(token)
        found += list(next(pages))
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
def test_queries_over_all_partitions(carts: ContainerProxy, text: str, expected: list[Any]) -> None:
    fill(carts, 30)
    assert query(carts, text, max_item_count=4) == expected


def test_queries_go_on_when_ranges_split_between_two_pages(carts: ContainerProxy) -> None:
    fill(carts, 30)
    pages = carts.query_items(
        "SELECT * FROM c", enable_cross_partition_query=True, max_item_count=2
    ).by_page()
    found = list(next(pages))
    for each in ("0", "1", "2", "3"):
        emulator.split(carts.id, each)
    for page in pages:
        found += list(page)
    assert numbers(found) == list(range(30))


@pytest.mark.skipif(not hasattr(ContainerProxy, "read_items"), reason="newer than this SDK")
def test_many_documents_are_read_at_once(carts: ContainerProxy) -> None:
    fill(carts, 30)
    emulator.split(carts.id, "0")
    wanted: list[tuple[str, Any]] = [(each["id"], each["cartId"]) for each in documents(30)]
    assert numbers(carts.read_items([*wanted, ("none", "cart 1")])) == list(range(30))


def changes(carts: ContainerProxy, **start: Any) -> tuple[list[Any], str]:
    pages: Any = carts.query_items_change_feed(max_item_count=5, **start).by_page()
    found = [each for page in pages for each in page]
    return found, pages.continuation_token


def test_the_change_feed_goes_on_across_a_split_and_a_merge(carts: ContainerProxy) -> None:
    fill(carts, 12)
    first, token = changes(carts, start_time="Beginning")
    assert numbers(first) == list(range(12))

    children = emulator.split(carts.id, "0")
    for n in range(6):
        carts.create_item({"id": f"s{n}", "cartId": f"split {n}", "n": 200 + n})
    second, token = changes(carts, continuation=token)
    assert numbers(second) == list(range(200, 206))

    emulator.merge(carts.id, children)
    for n in range(6):
        carts.create_item({"id": f"m{n}", "cartId": f"merged {n}", "n": 300 + n})
    third, _ = changes(carts, continuation=token)
    assert numbers(third) == list(range(300, 306))
    assert len(changes(carts, start_time="Beginning")[0]) == 24


def test_the_change_feed_of_a_key_and_of_each_range(carts: ContainerProxy) -> None:
    fill(carts, 12)
    found, _ = changes(carts, start_time="Beginning", partition_key="cart 1")
    assert numbers(found) == [3, 4, 5]
    ranges = list(carts.read_feed_ranges())
    assert len(ranges) == 4
    parts = [changes(carts, start_time="Beginning", feed_range=each)[0] for each in ranges]
    assert numbers(chain.from_iterable(parts)) == list(range(12))


def test_a_batch_is_done_whole_or_not_at_all(carts: ContainerProxy) -> None:
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
    done = carts.execute_item_batch(operations, "a")
    assert [each["statusCode"] for each in done] == [201, 201, 200, 200, 200, 204]
    assert done[3]["resourceBody"]["n"] == 3
    with pytest.raises(CosmosBatchOperationError) as refused:
        carts.execute_item_batch([("create", (two,)), ("create", (one,))], "a")
    assert (refused.value.error_index, refused.value.status_code) == (1, 409)
    with pytest.raises(CosmosResourceNotFoundError):
        carts.read_item("2", "a")


def test_a_patch_sets_adds_increments_replaces_moves_and_removes(carts: ContainerProxy) -> None:
    carts.create_item({"id": "1", "cartId": "a", "n": 1, "tags": ["x"], "old": 1, "from": 7})
    operations: list[dict[str, Any]] = [
        {"op": "set", "path": "/name", "value": "Mug"},
        {"op": "add", "path": "/tags/-", "value": "y"},
        {"op": "incr", "path": "/n", "value": 4},
        {"op": "replace", "path": "/tags/0", "value": "z"},
        {"op": "move", "from": "/from", "path": "/to"},
        {"op": "remove", "path": "/old"},
    ]
    patched = carts.patch_item("1", "a", operations)
    own = {name: value for name, value in patched.items() if name[0] != "_"}
    assert own == {"id": "1", "cartId": "a", "n": 5, "tags": ["z", "y"], "name": "Mug", "to": 7}
    reset = [{"op": "set", "path": "/n", "value": 0}]
    with pytest.raises(CosmosAccessConditionFailedError):
        carts.patch_item("1", "a", reset, filter_predicate="FROM c WHERE c.n = 1")


def test_documents_expire(new_container: NewContainer) -> None:
    carts = new_container(default_ttl=100)
    carts.create_item({"id": "short", "cartId": "a", "ttl": 10})
    carts.create_item({"id": "usual", "cartId": "a"})
    carts.create_item({"id": "forever", "cartId": "a", "ttl": -1})
    ids = "SELECT VALUE c.id FROM c"
    try:
        emulator.shift_clock(11)
        assert sorted(query(carts, ids)) == ["forever", "usual"]
        emulator.shift_clock(101)
        assert query(carts, ids) == ["forever"]
    finally:
        emulator.shift_clock(0)


def test_all_documents_of_a_key_are_deleted(carts: ContainerProxy) -> None:
    fill(carts, 9)
    carts.delete_all_items_by_partition_key("cart 1")
    assert numbers(carts.read_all_items()) == [0, 1, 2, 6, 7, 8]


def test_a_throttled_request_is_tried_again(carts: ContainerProxy) -> None:
    path = f"/dbs/{emulator.DATABASE}/colls/{carts.id}"
    strike = {"status": 429, "substatus": 3200, "retry_after_ms": 1, "times": 3}
    emulator.control("faults", {"path_prefix": path, "method": "POST", **strike})
    assert carts.create_item({"id": "1", "cartId": "a"})["id"] == "1"
