"""Queries and patches as azure-cosmos sends them, blocking and asynchronous, over four partitions.

What a query must give is worked out in plain Python over the same carts.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from azure.cosmos import ContainerProxy, CosmosClient, DatabaseProxy, PartitionKey
from azure.cosmos.aio import ContainerProxy as AsyncContainerProxy
from azure.cosmos.aio import CosmosClient as AsyncCosmosClient
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosBatchOperationError,
    CosmosHttpResponseError,
)

from projector.emulator import EmulatorServer
from tests.fixtures.emulator import threaded_emulator

Row = Any
Cart = dict[str, Any]

PAGE = 7  # small, so that every longer result is paged

CARTS: list[Cart] = [
    {
        "id": f"item-{number:02d}",
        "cartId": f"cart-{number % 9}",
        "item": ["Surface Pro", "Surface Book", "Pen", 'Émile\'s "cup"'][number % 4],
        "quantity": number % 7 + 1,
        **({"price": number / 2} if number % 3 else {}),
        **({"note": None} if number % 10 == 0 else {}),
        "tags": ["blue", "big", "new"][: number % 4],
        "size": {"w": number % 5, "h": [number, number + 1]},
    }
    for number in range(60)
]


def plain(row: Row) -> Row:
    """A row without what the service adds."""
    if isinstance(row, dict):
        return {name: value for name, value in row.items() if not name.startswith("_")}
    return row


def unordered(rows: list[Row]) -> list[str]:
    return sorted(json.dumps(plain(row), sort_keys=True) for row in rows)


def carts(keep: Callable[[Cart], bool]) -> list[Cart]:
    return [cart for cart in CARTS if keep(cart)]


def by_cart(fold: Callable[[list[Cart]], Row]) -> list[Row]:
    keys = dict.fromkeys(cart["cartId"] for cart in CARTS)
    return [fold(carts(lambda cart, key=key: cart["cartId"] == key)) for key in keys]  # type: ignore[misc]  # a default argument


@pytest.fixture(scope="module")
def server() -> Iterator[EmulatorServer]:
    with threaded_emulator(partitions=4) as running:
        yield running


@pytest.fixture(scope="module")
def database(server: EmulatorServer) -> Iterator[DatabaseProxy]:
    with CosmosClient(server.endpoint, server.key) as client:
        yield client.create_database("acme-webstore")


@pytest.fixture(scope="module")
def container(database: DatabaseProxy) -> ContainerProxy:
    """The carts; no test changes them."""
    filled = database.create_container("cart", PartitionKey(path="/cartId"))
    for cart in CARTS:
        filled.create_item(cart)
    return filled


@pytest.fixture
async def async_container(
    server: EmulatorServer, container: ContainerProxy
) -> AsyncIterator[AsyncContainerProxy]:
    async with AsyncCosmosClient(server.endpoint, server.key) as client:
        yield client.get_database_client("acme-webstore").get_container_client(container.id)


QUERIES: list[Any] = [
    pytest.param("SELECT * FROM c", {}, CARTS, id="everything"),
    pytest.param("SELECT * FROM root r", {}, CARTS, id="root"),
    pytest.param(
        "SELECT c.id, c.cartId, c.item, c.quantity FROM c",
        {},
        [{name: cart[name] for name in ("id", "cartId", "item", "quantity")} for cart in CARTS],
        id="projection",
    ),
    pytest.param(
        "SELECT c.id, c.price AS p FROM c",
        {},
        [{"id": c["id"]} | ({"p": c["price"]} if "price" in c else {}) for c in CARTS],
        id="undefined is left out",
    ),
    pytest.param(
        "SELECT c.id, c.quantity * 2, c.size.w FROM c WHERE c.quantity >= @least",
        {"least": 5},
        [
            {"id": c["id"], "$1": c["quantity"] * 2, "w": c["size"]["w"]}
            for c in carts(lambda c: c["quantity"] >= 5)
        ],
        id="derived names",
    ),
    pytest.param(
        "SELECT VALUE {'i': c.id, 'h': c.size.h[0]} FROM c WHERE c['item'] = @item",
        {"item": 'Émile\'s "cup"'},
        [
            {"i": c["id"], "h": c["size"]["h"][0]}
            for c in carts(lambda c: c["item"].startswith("É"))
        ],
        id="objects and non-ASCII parameters",
    ),
    pytest.param(
        "SELECT * FROM c WHERE STARTSWITH(c.item, 'Surface') AND NOT IS_DEFINED(c.price)",
        {},
        carts(lambda c: c["item"].startswith("Surface") and "price" not in c),
        id="STARTSWITH",
    ),
    pytest.param(
        "SELECT * FROM c WHERE CONTAINS(c.item, 'BOOK', true) OR c.item LIKE '%e_'",
        {},
        carts(lambda c: "Book" in c["item"] or c["item"] == "Pen"),
        id="CONTAINS and LIKE",
    ),
    pytest.param(
        "SELECT * FROM c WHERE c.id IN ('item-01', 'item-02', 'none')",
        {},
        CARTS[1:3],
        id="IN",
    ),
    pytest.param(
        "SELECT VALUE c.id FROM c WHERE c.price BETWEEN 3 AND 6",
        {},
        [c["id"] for c in carts(lambda c: 3 <= c.get("price", 0) <= 6)],
        id="BETWEEN",
    ),
    pytest.param(
        "SELECT VALUE c.id FROM c WHERE c.note = null",
        {},
        [c["id"] for c in carts(lambda c: "note" in c)],
        id="null",
    ),
    pytest.param(
        "SELECT VALUE (c.price ?? -1) < 5 ? 'cheap' : 'dear' FROM c",
        {},
        ["cheap" if c.get("price", -1) < 5 else "dear" for c in CARTS],
        id="ternary and coalesce",
    ),
    pytest.param(
        "SELECT c.id, t FROM c JOIN t IN c.tags WHERE t != 'big'",
        {},
        [{"id": c["id"], "t": t} for c in CARTS for t in c["tags"] if t != "big"],
        id="JOIN",
    ),
    pytest.param(
        "SELECT VALUE c.id FROM c WHERE EXISTS(SELECT VALUE t FROM t IN c.tags WHERE t = 'new')",
        {},
        [c["id"] for c in carts(lambda c: "new" in c["tags"])],
        id="EXISTS",
    ),
    pytest.param("SELECT VALUE COUNT(1) FROM c", {}, [60], id="COUNT over partitions"),
    pytest.param("SELECT COUNT(1) FROM c", {}, [{"$1": 60}], id="COUNT without VALUE"),
    pytest.param(
        "SELECT VALUE SUM(c.quantity) FROM c", {}, [sum(c["quantity"] for c in CARTS)], id="SUM"
    ),
    pytest.param(
        "SELECT MIN(c.price) AS lo, MAX(c.price) AS hi, AVG(c.quantity) AS mean FROM c",
        {},
        [{"lo": 0.5, "hi": 29.5, "mean": sum(c["quantity"] for c in CARTS) / 60}],
        id="several aggregates",
    ),
    pytest.param(
        "SELECT c.cartId, COUNT(1) AS n, SUM(c.quantity) AS q FROM c GROUP BY c.cartId",
        {},
        by_cart(
            lambda group: {
                "cartId": group[0]["cartId"],
                "n": len(group),
                "q": sum(c["quantity"] for c in group),
            }
        ),
        id="GROUP BY",
    ),
    pytest.param(
        "SELECT DISTINCT VALUE c.item FROM c",
        {},
        list({c["item"] for c in CARTS}),
        id="DISTINCT",
    ),
]

ORDERED: list[Any] = [
    pytest.param(
        "SELECT * FROM c ORDER BY c.id DESC", {}, [c["id"] for c in CARTS[::-1]], id="one key"
    ),
    pytest.param(
        "SELECT * FROM c ORDER BY c.quantity ASC, c.id DESC",
        {},
        [c["id"] for c in sorted(CARTS, key=lambda c: (c["quantity"], -int(c["id"][-2:])))],
        id="two keys",
    ),
    pytest.param(
        "SELECT * FROM c ORDER BY c.price, c.id",
        {},
        [c["id"] for c in sorted(CARTS, key=lambda c: (c.get("price", -1), c["id"]))],
        id="undefined first",
    ),
    pytest.param(
        "SELECT * FROM c WHERE c.quantity > 2 ORDER BY c.id OFFSET 5 LIMIT 20",
        {},
        [c["id"] for c in carts(lambda c: c["quantity"] > 2)][5:25],
        id="OFFSET LIMIT",
    ),
    pytest.param(
        "SELECT * FROM c ORDER BY c.id OFFSET @skip LIMIT @take",
        {"skip": 50, "take": 20},
        [c["id"] for c in CARTS[50:]],
        id="OFFSET LIMIT by parameters",
    ),
    pytest.param(
        "SELECT TOP 10 * FROM c ORDER BY c.id", {}, [c["id"] for c in CARTS[:10]], id="TOP"
    ),
    pytest.param("SELECT * FROM c ORDER BY c._ts, c.id", {}, [c["id"] for c in CARTS], id="by _ts"),
]


def listed(parameters: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": f"@{name}", "value": value} for name, value in parameters.items()]


def blocking(container: ContainerProxy, query: str, parameters: dict[str, Any]) -> list[Row]:
    return list(
        container.query_items(
            query,
            parameters=listed(parameters),
            enable_cross_partition_query=True,
            max_item_count=PAGE,
        )
    )


async def awaited(
    container: AsyncContainerProxy, query: str, parameters: dict[str, Any]
) -> list[Row]:
    found = container.query_items(query, parameters=listed(parameters), max_item_count=PAGE)
    return [row async for row in found]


@pytest.mark.parametrize(("query", "parameters", "expected"), QUERIES)
def test_query(
    container: ContainerProxy, query: str, parameters: dict[str, Any], expected: list[Row]
) -> None:
    assert unordered(blocking(container, query, parameters)) == unordered(expected)


@pytest.mark.parametrize(("query", "parameters", "expected"), QUERIES)
async def test_query_asynchronously(
    async_container: AsyncContainerProxy,
    query: str,
    parameters: dict[str, Any],
    expected: list[Row],
) -> None:
    assert unordered(await awaited(async_container, query, parameters)) == unordered(expected)


@pytest.mark.parametrize(("query", "parameters", "expected"), ORDERED)
def test_order_holds_across_partitions_and_pages(
    container: ContainerProxy, query: str, parameters: dict[str, Any], expected: list[str]
) -> None:
    assert [row["id"] for row in blocking(container, query, parameters)] == expected


@pytest.mark.parametrize(("query", "parameters", "expected"), ORDERED)
async def test_order_holds_asynchronously(
    async_container: AsyncContainerProxy,
    query: str,
    parameters: dict[str, Any],
    expected: list[str],
) -> None:
    found = await awaited(async_container, query, parameters)
    assert [row["id"] for row in found] == expected


def test_rows_are_stored_documents_with_their_system_properties(container: ContainerProxy) -> None:
    [found] = blocking(container, "SELECT * FROM c WHERE c.id = 'item-05'", {})
    assert found == container.read_item("item-05", CARTS[5]["cartId"])
    query = "SELECT VALUE c._ts FROM c WHERE c._etag = @etag"
    assert blocking(container, query, {"etag": found["_etag"]}) == [found["_ts"]]


def test_a_partition_key_restricts_a_query(container: ContainerProxy) -> None:
    found: list[Any] = list(
        container.query_items(
            "SELECT VALUE c.id FROM c WHERE c.quantity > 1", partition_key="cart-3"
        )
    )
    wanted = carts(lambda c: c["cartId"] == "cart-3" and c["quantity"] > 1)
    assert sorted(found) == [cart["id"] for cart in wanted]


def test_feed_ranges_share_out_a_query(container: ContainerProxy) -> None:
    ranges = list(container.read_feed_ranges(force_refresh=True))
    parts: list[list[Any]] = [
        list(container.query_items("SELECT VALUE c.id FROM c", feed_range=each)) for each in ranges
    ]
    assert len(ranges) == 4
    assert sorted(found for part in parts for found in part) == [cart["id"] for cart in CARTS]
    assert all(part != [cart["id"] for cart in CARTS] for part in parts)


def test_a_query_resumes_from_its_continuation(container: ContainerProxy) -> None:
    def pages(continuation: str | None) -> Any:
        found = container.query_items(
            "SELECT VALUE c.id FROM c ORDER BY c.id",
            enable_cross_partition_query=True,
            max_item_count=25,
        )
        return found.by_page(continuation)

    first = pages(None)
    read = list(next(first))
    rest = [row for page in pages(first.continuation_token) for row in page]
    assert len(read) == 25
    assert read + rest == [cart["id"] for cart in CARTS]


def test_many_items_are_read_at_once(container: ContainerProxy) -> None:
    wanted = [(cart["id"], cart["cartId"]) for cart in CARTS[::2]]
    found = container.read_items([*wanted, ("none", "cart-0"), ("item-01", "cart-0")])
    assert unordered(list(found)) == unordered(CARTS[::2])


async def test_many_items_are_read_at_once_asynchronously(
    async_container: AsyncContainerProxy,
) -> None:
    found = await async_container.read_items([(cart["id"], cart["cartId"]) for cart in CARTS])
    assert unordered(list(found)) == unordered(CARTS)


def test_databases_and_containers_are_queried(
    server: EmulatorServer, database: DatabaseProxy, container: ContainerProxy
) -> None:
    by_id: list[dict[str, Any]] = listed({"id": container.id})
    found = database.query_containers("SELECT * FROM c WHERE c.id = @id", parameters=by_id)
    assert [each["id"] for each in found] == [container.id]
    with CosmosClient(server.endpoint, server.key) as client:
        query = "SELECT * FROM r WHERE r.id = 'acme-webstore'"
        assert [each["id"] for each in client.query_databases(query)] == ["acme-webstore"]


def test_the_clock_of_queries_is_the_clock_of_writes(container: ContainerProxy) -> None:
    query = "SELECT VALUE GetCurrentTimestamp() / 1000 - c._ts FROM c"
    assert all(-1 <= age < 300 for age in blocking(container, query, {}))


REFUSED: list[Any] = [
    pytest.param("SELEC * FROM c", "expected SELECT", id="syntax"),
    pytest.param("SELECT * FROM c WHERE c.order = 1", "reserved word", id="reserved word"),
    pytest.param("SELECT * FROM c WHERE c.id = @x", "given for @x", id="parameter"),
    pytest.param("SELECT udf.f(c) FROM c", "User-defined functions are not supported", id="udf"),
    pytest.param("SELECT NOSUCH(c) FROM c", "function NOSUCH is not supported", id="function"),
    pytest.param("SELECT COUNT(1), c.id FROM c", "named in GROUP BY", id="not grouped"),
    pytest.param("SELECT VALUE REGEXMATCH(c.id, '(') FROM c", "REGEXMATCH", id="while running"),
]


@pytest.mark.parametrize(("query", "message"), REFUSED)
def test_what_cannot_be_run_is_refused_with_the_reason(
    container: ContainerProxy, query: str, message: str
) -> None:
    with pytest.raises(CosmosHttpResponseError) as refusal:
        blocking(container, query, {})
    assert refusal.value.status_code == 400
    assert message in str(refusal.value)


@pytest.mark.parametrize(("query", "message"), REFUSED)
async def test_what_cannot_be_run_is_refused_asynchronously(
    async_container: AsyncContainerProxy, query: str, message: str
) -> None:
    with pytest.raises(CosmosHttpResponseError) as refusal:
        await awaited(async_container, query, {})
    assert refusal.value.status_code == 400
    assert message in str(refusal.value)


def test_a_cross_partition_query_must_say_so(container: ContainerProxy) -> None:
    with pytest.raises(CosmosHttpResponseError) as refusal:
        list(container.query_items("SELECT * FROM c"))
    assert refusal.value.status_code == 400


@pytest.fixture
def patched(database: DatabaseProxy) -> tuple[ContainerProxy, Cart]:
    """A container for patches and a new cart in it."""
    container = database.create_container_if_not_exists("patched", PartitionKey(path="/cartId"))
    cart = {**CARTS[1], "id": str(uuid.uuid4())}
    container.create_item(cart)
    return container, cart


OPERATIONS: list[dict[str, Any]] = [
    {"op": "add", "path": "/colour", "value": "blue"},
    {"op": "set", "path": "/quantity", "value": 5},
    {"op": "incr", "path": "/quantity", "value": 2},
    {"op": "replace", "path": "/item", "value": "Pen"},
    {"op": "add", "path": "/tags/-", "value": "last"},
    {"op": "add", "path": "/tags/0", "value": "first"},
    {"op": "remove", "path": "/price"},
    {"op": "move", "from": "/size/w", "path": "/width"},
    {"op": "set", "path": "/a~1b", "value": None},
]


def after_operations(cart: Cart) -> Cart:
    kept = {name: value for name, value in cart.items() if name != "price"}
    return kept | {
        "colour": "blue",
        "quantity": 7,
        "item": "Pen",
        "tags": ["first", *cart["tags"], "last"],
        "size": {"h": cart["size"]["h"]},
        "width": cart["size"]["w"],
        "a/b": None,
    }


def test_patch(patched: tuple[ContainerProxy, Cart]) -> None:
    container, cart = patched
    before = container.read_item(cart["id"], cart["cartId"])
    answer = container.patch_item(cart["id"], cart["cartId"], OPERATIONS)
    assert plain(answer) == after_operations(cart)
    stored = container.read_item(cart["id"], cart["cartId"])
    assert stored == answer
    assert stored["_etag"] != before["_etag"]
    assert stored["_rid"] == before["_rid"]


async def test_patch_asynchronously(
    server: EmulatorServer, patched: tuple[ContainerProxy, Cart]
) -> None:
    name, cart = patched[0].id, patched[1]
    async with AsyncCosmosClient(server.endpoint, server.key) as client:
        container = client.get_database_client("acme-webstore").get_container_client(name)
        answer = await container.patch_item(cart["id"], cart["cartId"], OPERATIONS)
    assert plain(answer) == after_operations(cart)


def test_a_patch_applies_on_its_condition_only(patched: tuple[ContainerProxy, Cart]) -> None:
    container, cart = patched
    more = [{"op": "incr", "path": "/quantity", "value": 1}]
    key = cart["id"], cart["cartId"]
    met = f"from c where c.quantity = {cart['quantity']}"
    answer = container.patch_item(*key, more, filter_predicate=met)
    assert answer["quantity"] == cart["quantity"] + 1
    with pytest.raises(CosmosAccessConditionFailedError):
        container.patch_item(*key, more, filter_predicate=met)
    with pytest.raises(CosmosHttpResponseError) as refusal:
        container.patch_item(*key, more, filter_predicate="from c where")
    assert refusal.value.status_code == 400
    assert container.read_item(*key)["quantity"] == cart["quantity"] + 1


@pytest.mark.parametrize(
    "operations",
    [
        pytest.param([{"op": "replace", "path": "/none", "value": 1}], id="replace missing"),
        pytest.param([{"op": "remove", "path": "/none"}], id="remove missing"),
        pytest.param([{"op": "incr", "path": "/item", "value": 1}], id="incr text"),
        pytest.param([{"op": "set", "path": "/id", "value": "x"}], id="id"),
        pytest.param([{"op": "set", "path": "/cartId", "value": "x"}], id="partition key"),
        pytest.param([{"op": "set", "path": "/_ts", "value": 1}], id="system property"),
        pytest.param([{"op": "incr", "path": "/quantity", "value": 1}] * 11, id="eleven"),
        pytest.param([], id="none"),
        pytest.param(
            [
                {"op": "set", "path": "/quantity", "value": 99},
                {"op": "remove", "path": "/none"},
            ],
            id="all or nothing",
        ),
    ],
)
def test_a_refused_patch_changes_nothing(
    patched: tuple[ContainerProxy, Cart], operations: list[dict[str, Any]]
) -> None:
    container, cart = patched
    before = container.read_item(cart["id"], cart["cartId"])
    with pytest.raises(CosmosHttpResponseError) as refusal:
        container.patch_item(cart["id"], cart["cartId"], operations)
    assert refusal.value.status_code == 400
    assert container.read_item(cart["id"], cart["cartId"]) == before


def test_patches_in_a_batch_stand_and_fall_together(
    patched: tuple[ContainerProxy, Cart],
) -> None:
    container, cart = patched
    more = [{"op": "incr", "path": "/quantity", "value": 1}]
    results = container.execute_item_batch(
        [("patch", (cart["id"], more)), ("read", (cart["id"],))], cart["cartId"]
    )
    assert results[1]["resourceBody"]["quantity"] == cart["quantity"] + 1
    bad = [{"op": "remove", "path": "/none"}]
    with pytest.raises(CosmosBatchOperationError) as refusal:
        container.execute_item_batch(
            [("patch", (cart["id"], more)), ("patch", (cart["id"], bad))], cart["cartId"]
        )
    assert refusal.value.error_index == 1
    assert container.read_item(cart["id"], cart["cartId"])["quantity"] == cart["quantity"] + 1
