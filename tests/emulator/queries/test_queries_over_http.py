"""Queries as azure-cosmos sends them, blocking and asynchronous, over four partitions.

What a query must give is worked out in plain Python over the same carts.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from azure.cosmos import ContainerProxy, DatabaseProxy, PartitionKey
from azure.cosmos.aio import ContainerProxy as AsyncContainerProxy
from azure.cosmos.aio import CosmosClient as AsyncCosmosClient
from azure.cosmos.exceptions import (
    CosmosHttpResponseError,
)

from cosmos_emulator import Emulator
from tests.emulator.queries.carts import CARTS, Cart, Row, plain
from tests.fixtures.blocking import blocking_client

PAGE = 7  # small, so that every longer result is paged


def unordered(rows: list[Row]) -> list[str]:
    return sorted(json.dumps(plain(row), sort_keys=True) for row in rows)


def carts(keep: Callable[[Cart], bool]) -> list[Cart]:
    return [cart for cart in CARTS if keep(cart)]


def by_cart(fold: Callable[[list[Cart]], Row]) -> list[Row]:
    keys = dict.fromkeys(cart["cartId"] for cart in CARTS)
    return [fold(carts(lambda cart, key=key: cart["cartId"] == key)) for key in keys]  # type: ignore[misc]  # a default argument


@pytest.fixture(scope="module")
def container(database: DatabaseProxy) -> ContainerProxy:
    """The carts; no test changes them."""
    filled = database.create_container("cart", PartitionKey(path="/cartId"))
    for cart in CARTS:
        filled.create_item(cart)
    return filled


@pytest.fixture
async def async_container(
    server: Emulator, container: ContainerProxy
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
    server: Emulator, database: DatabaseProxy, container: ContainerProxy
) -> None:
    by_id: list[dict[str, Any]] = listed({"id": container.id})
    found = database.query_containers("SELECT * FROM c WHERE c.id = @id", parameters=by_id)
    assert [each["id"] for each in found] == [container.id]
    with blocking_client(server.endpoint, server.key) as client:
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
