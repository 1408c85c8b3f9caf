"""Pages of queries and of all documents, when the ranges change between two of them.

Source: azure-cosmos for Java 4.81.0 and JavaScript 4.10.1 give each child the continuation of its parent,
and a merged range each child's; the service's continuation is a position among the documents.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from cosmos_emulator import EmulatorServer
from cosmos_emulator.container import Container
from tests.fixtures.emulator import running_emulator
from tests.fixtures.emulator_wire import WireAnswer, wire

DOCS = "dbs/shop/colls/cart/docs"
COUNT = 24
RANGE = "x-ms-documentdb-partitionkeyrangeid"
QUERIES = {
    "the read feed": None,
    "all documents": "SELECT * FROM c",
    "a filter": "SELECT c.id FROM c WHERE c.n >= 0",
    "an order": "SELECT * FROM c ORDER BY c.n DESC",
    "an order of a plan": (
        'SELECT c._rid, [{"item": c.n}] AS orderByItems, c AS payload FROM c ORDER BY c.n DESC'
    ),
}


@pytest.fixture
async def emulator() -> AsyncIterator[EmulatorServer]:
    async with running_emulator(partitions=1) as server:
        server.engine.create_database("shop")
        carts = server.engine.create_container(
            "shop", {"id": "cart", "partitionKey": {"paths": ["/cartId"]}}
        )
        for n in range(COUNT):
            carts.create({"id": str(n), "cartId": f"c{n}", "n": n, "items": [1, 2, 3]})
        yield server


@pytest.fixture
def carts(emulator: EmulatorServer) -> Container:
    return emulator.engine.container("shop", "cart")


async def page(
    server: EmulatorServer,
    query: str | None,
    headers: Mapping[str, str],
    continuation: str | None = None,
    most: int = 5,
) -> WireAnswer:
    sent = {"x-ms-max-item-count": str(most), **headers}
    if continuation is not None:
        sent["x-ms-continuation"] = continuation
    if query is None:
        return await wire(server, "GET", DOCS, headers=sent)
    sent |= {
        "x-ms-documentdb-isquery": "True",
        "x-ms-documentdb-query-enablecrosspartition": "True",
        "Content-Type": "application/query+json",
    }
    return await wire(server, "POST", DOCS, {"query": query}, headers=sent)


async def rest(
    server: EmulatorServer, query: str | None, headers: Mapping[str, str], continuation: str | None
) -> list[Any]:
    """All that is still to come."""
    found: list[Any] = []
    while continuation is not None:
        answer = await page(server, query, headers, continuation)
        assert answer.status == 200, answer.body
        found += answer.json["Documents"]
        continuation = answer.headers.get("x-ms-continuation")
    return found


def ids(rows: list[Any]) -> list[int]:
    return sorted(int(row.get("payload", row)["id"]) for row in rows)


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
async def test_children_go_on_where_their_parent_was(
    emulator: EmulatorServer, carts: Container, query: str | None
) -> None:
    first = await page(emulator, query, {RANGE: "0"})
    found = first.json["Documents"]
    children = carts.split("0")
    for child in children:
        token = first.headers["x-ms-continuation"]
        found += await rest(emulator, query, {RANGE: child}, token)
    assert ids(found) == list(range(COUNT))


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
async def test_grandchildren_go_on_where_their_parent_was(
    emulator: EmulatorServer, carts: Container, query: str | None
) -> None:
    first = await page(emulator, query, {RANGE: "0"})
    found = first.json["Documents"]
    left, right = carts.split("0")
    token = first.headers["x-ms-continuation"]
    found += await rest(emulator, query, {RANGE: right}, token)
    second = await page(emulator, query, {RANGE: left}, token, most=2)
    found += second.json["Documents"]
    for child in carts.split(left):
        token = second.headers["x-ms-continuation"]
        found += await rest(emulator, query, {RANGE: child}, token)
    assert ids(found) == list(range(COUNT))


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
async def test_a_merged_range_goes_on_where_each_child_was(
    emulator: EmulatorServer, carts: Container, query: str | None
) -> None:
    found, going_on = [], []
    children = carts.split("0")
    for child in children:
        partition = carts.partition(child)
        first = await page(emulator, query, {RANGE: child}, most=3)
        found += first.json["Documents"]
        going_on.append((partition.minimum, partition.maximum, first.headers["x-ms-continuation"]))
    merged = carts.merge(children)
    for minimum, maximum, token in going_on:
        headers = {RANGE: merged, "x-ms-start-epk": minimum, "x-ms-end-epk": maximum}
        found += await rest(emulator, query, headers, token)
    assert ids(found) == list(range(COUNT))


@pytest.mark.parametrize("query", [None, "SELECT * FROM c"], ids=["the read feed", "a query"])
async def test_who_reads_everything_goes_on_across_a_split_and_a_merge(
    emulator: EmulatorServer, carts: Container, query: str | None
) -> None:
    found: list[Any] = []
    children: list[str] = []
    token, asked = "", 0
    while asked == 0 or token:
        answer = await page(emulator, query, {}, token)
        found += answer.json["Documents"]
        token, asked = answer.headers.get("x-ms-continuation", ""), asked + 1
        if asked == 1:
            children = carts.split("0")
        elif asked == 3:
            carts.merge(children)
    assert ids(found) == list(range(COUNT))


async def test_a_page_that_ends_within_a_document_goes_on_within_it(
    emulator: EmulatorServer, carts: Container
) -> None:
    query = "SELECT c.id, i AS item FROM c JOIN i IN c.items"
    first = await page(emulator, query, {RANGE: "0"})
    found = first.json["Documents"]
    for child in carts.split("0"):
        found += await rest(emulator, query, {RANGE: child}, first.headers["x-ms-continuation"])
    assert sorted((int(row["id"]), row["item"]) for row in found) == [
        (n, item) for n in range(COUNT) for item in (1, 2, 3)
    ]


async def test_a_page_that_is_asked_for_again_is_the_same(
    emulator: EmulatorServer, carts: Container
) -> None:
    query = "SELECT * FROM c"
    first = await page(emulator, query, {RANGE: "0"})
    child = carts.split("0")[0]
    token = first.headers["x-ms-continuation"]
    second = await page(emulator, query, {RANGE: child}, token, most=2)
    assert (await page(emulator, query, {RANGE: child}, token, most=2)).body == second.body


async def test_another_query_does_not_go_on_with_the_rows_of_this_one(
    emulator: EmulatorServer,
) -> None:
    first = await page(emulator, "SELECT * FROM c", {RANGE: "0"})
    token = first.headers["x-ms-continuation"]
    other = await page(emulator, "SELECT VALUE c.n FROM c", {RANGE: "0"}, token)
    assert other.json["Documents"] == [5, 6, 7, 8, 9]


async def test_a_continuation_that_is_too_old_for_a_split_is_refused(
    emulator: EmulatorServer, carts: Container
) -> None:
    query = "SELECT * FROM c"
    token = (await page(emulator, query, {RANGE: "0"})).headers["x-ms-continuation"]
    for n in range(40):
        await page(emulator, f"SELECT * FROM c WHERE c.n >= 0 AND c.n != {n}", {RANGE: "0"})
    assert len(await rest(emulator, query, {RANGE: "0"}, token)) == COUNT - 5
    child = carts.split("0")[0]
    for n in range(40):
        await page(emulator, f"SELECT * FROM c WHERE c.n >= 0 AND c.n != {n}", {}, most=1)
    answer = await page(emulator, query, {RANGE: child}, token)
    assert (answer.status, answer.json["code"]) == (400, "BadRequest")
    assert "again without" in answer.json["message"]


@pytest.mark.parametrize(
    ("order", "backwards"),
    [("c.none", False), ("c.none DESC", True), ("c.none DESC, c.n", True), ("c.same, c.n", False)],
)
async def test_equal_rows_come_in_the_order_of_the_scan(
    emulator: EmulatorServer, order: str, backwards: bool
) -> None:
    """Who goes on within equal rows skips resource ids, up or down as the answer says."""
    query = f"SELECT c._rid, c.id FROM c ORDER BY {order.removesuffix(', c.n')}"
    answer = await page(emulator, query, {RANGE: "0"}, most=COUNT)
    told = json.loads(answer.headers["x-ms-cosmos-query-execution-info"])
    assert told == {"reverseRidEnabled": False, "reverseIndexScan": backwards}
    found = [int(row["id"]) for row in answer.json["Documents"]]
    assert found == sorted(range(COUNT), reverse=backwards)
    both = await page(emulator, f"SELECT * FROM c ORDER BY {order}", {RANGE: "0"})
    assert (
        both.headers["x-ms-cosmos-query-execution-info"]
        == (answer.headers["x-ms-cosmos-query-execution-info"])
    )
