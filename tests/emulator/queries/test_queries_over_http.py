"""Queries as azure-cosmos sends them, blocking and asynchronous, over four partitions.

What a query must give is worked out in plain Python over the same carts. The language has its tests in
`tests/emulator/unit/query`, addresses and pages have theirs in `tests/emulator/wire`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from azure.cosmos import ContainerProxy, DatabaseProxy, PartitionKey
from azure.cosmos.aio import ContainerProxy as AsyncContainerProxy
from azure.cosmos.aio import CosmosClient as AsyncCosmosClient
from azure.cosmos.exceptions import CosmosHttpResponseError

from cosmos_emulator import Emulator
from tests.emulator.queries.carts import CARTS, Cart, Row, plain
from tests.fixtures.blocking import blocking_client

Ask = Callable[[str, dict[str, Any]], Awaitable[list[Row]]]
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
        "SELECT c.id, t FROM c JOIN t IN c.tags WHERE t != 'big'",
        {},
        [{"id": c["id"], "t": t} for c in CARTS for t in c["tags"] if t != "big"],
        id="JOIN",
    ),
    pytest.param("SELECT VALUE COUNT(1) FROM c", {}, [60], id="COUNT over partitions"),
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
        "SELECT TOP 10 * FROM c ORDER BY c.id", {}, [c["id"] for c in CARTS[:10]], id="TOP"
    ),
    pytest.param("SELECT * FROM c ORDER BY c._ts, c.id", {}, [c["id"] for c in CARTS], id="by _ts"),
]


def listed(parameters: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": f"@{name}", "value": value} for name, value in parameters.items()]


@pytest.fixture(params=["blocking", "asynchronous"])
def ask(
    request: pytest.FixtureRequest, container: ContainerProxy, async_container: AsyncContainerProxy
) -> Ask:
    """A query by either client, in small pages."""

    async def asked(query: str, parameters: dict[str, Any]) -> list[Row]:
        if request.param == "blocking":
            return blocking(container, query, parameters)
        given = listed(parameters)
        found = async_container.query_items(query, parameters=given, max_item_count=PAGE)
        return [row async for row in found]

    return asked


def blocking(container: ContainerProxy, query: str, parameters: dict[str, Any]) -> list[Row]:
    return list(
        container.query_items(
            query,
            parameters=listed(parameters),
            enable_cross_partition_query=True,
            max_item_count=PAGE,
        )
    )


@pytest.mark.parametrize(("query", "parameters", "expected"), QUERIES)
async def test_query(ask: Ask, query: str, parameters: dict[str, Any], expected: list[Row]) -> None:
    assert unordered(await ask(query, parameters)) == unordered(expected)


@pytest.mark.parametrize(("query", "parameters", "expected"), ORDERED)
async def test_order_holds_across_partitions_and_pages(
    ask: Ask, query: str, parameters: dict[str, Any], expected: list[str]
) -> None:
    assert [row["id"] for row in await ask(query, parameters)] == expected


def test_rows_are_stored_documents_with_their_system_properties(container: ContainerProxy) -> None:
    [found] = blocking(container, "SELECT * FROM c WHERE c.id = 'item-05'", {})
    assert found == container.read_item("item-05", CARTS[5]["cartId"])
    query = "SELECT VALUE c._ts FROM c WHERE c._etag = @etag"
    assert blocking(container, query, {"etag": found["_etag"]}) == [found["_ts"]]


def test_many_items_are_read_at_once(container: ContainerProxy) -> None:
    wanted = [(cart["id"], cart["cartId"]) for cart in CARTS[::2]]
    found = container.read_items([*wanted, ("none", "cart-0"), ("item-01", "cart-0")])
    assert unordered(list(found)) == unordered(CARTS[::2])


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
    pytest.param("SELECT * FROM c WHERE c.id = @x", "given for @x", id="parameter"),
    pytest.param("SELECT VALUE REGEXMATCH(c.id, '(') FROM c", "REGEXMATCH", id="while running"),
]


@pytest.mark.parametrize(("query", "message"), REFUSED)
async def test_what_cannot_be_run_is_refused_with_the_reason(
    ask: Ask, query: str, message: str
) -> None:
    with pytest.raises(CosmosHttpResponseError) as refusal:
        await ask(query, {})
    assert refusal.value.status_code == 400
    assert message in str(refusal.value)
