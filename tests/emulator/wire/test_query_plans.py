"""Query plans over the wire, and clients that carry them out.

Source: the request and answer of azure-cosmos for Java 4.81.0, JavaScript 4.10.1 and Python 4.17.1
(`x-ms-cosmos-is-query-plan-request`); the forms are those of the .NET SDK's query plan baselines.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from azure.cosmos.aio import CosmosClient

from cosmos_emulator import EmulatorServer
from tests.fixtures.emulator import control, running_emulator
from tests.fixtures.emulator_wire import WireAnswer, wire

DOCS = "dbs/shop/colls/cart/docs"
PLAN = {"x-ms-cosmos-is-query-plan-request": "True", "x-ms-cosmos-query-version": "1.0"}
QUERY = {"x-ms-documentdb-isquery": "True", "Content-Type": "application/query+json"}
CROSS = {"x-ms-documentdb-query-enablecrosspartition": "True"}
RESUME = "{documentdb-formattableorderbyquery-filter}"


@pytest.fixture
async def emulator() -> AsyncIterator[EmulatorServer]:
    async with running_emulator(partitions=4) as server:
        server.engine.create_database("shop")
        cart = server.engine.create_container(
            "shop", {"id": "cart", "partitionKey": {"paths": ["/key"]}}
        )
        cart.load(
            {"id": str(n), "key": f"k{n % 9}", "n": n, "team": n % 3, "tags": [n % 4, n % 5]}
            | ({"some": n % 7} if n % 2 else {})
            for n in range(60)
        )
        yield server


async def planned(server: EmulatorServer, query: str, **headers: str) -> WireAnswer:
    return await wire(server, "POST", DOCS, {"query": query}, headers={**PLAN, **headers})


async def test_a_plan_says_what_to_ask_and_of_whom(emulator: EmulatorServer) -> None:
    answer = await planned(emulator, "SELECT * FROM c WHERE STARTSWITH(c.id, 'lease')")
    assert answer.status == 200
    assert answer.json == {
        "partitionedQueryExecutionInfoVersion": 2,
        "queryInfo": {
            "distinctType": "None",
            "top": None,
            "offset": None,
            "limit": None,
            "orderBy": [],
            "orderByExpressions": [],
            "groupByExpressions": [],
            "groupByAliases": [],
            "aggregates": [],
            "groupByAliasToAggregateType": {},
            "rewrittenQuery": "",
            "hasSelectValue": False,
            "hasNonStreamingOrderBy": False,
        },
        "queryRanges": [{"min": "", "max": "FF", "isMinInclusive": True, "isMaxInclusive": False}],
    }


async def test_the_ranges_are_those_of_the_keys_that_the_filter_names(
    emulator: EmulatorServer,
) -> None:
    keys = emulator.engine.container("shop", "cart").keys
    points = sorted(keys.epk_of((key,)) for key in ("k1", "k2"))
    answer = await planned(emulator, "SELECT * FROM c WHERE c.key IN ('k1', 'k2', 'k1')")
    assert answer.json["queryRanges"] == [
        {"min": point, "max": point, "isMinInclusive": True, "isMaxInclusive": True}
        for point in points
    ]
    pinned = await planned(
        emulator,
        "SELECT * FROM c ORDER BY c.n",
        **{"x-ms-documentdb-partitionkey": '["k1"]'},
    )
    assert [each["min"] for each in pinned.json["queryRanges"]] == [keys.epk_of(("k1",))]
    assert pinned.json["queryInfo"]["rewrittenQuery"] == ""
    none = await planned(emulator, "SELECT * FROM c WHERE c.key = 1 AND c.key = 2")
    assert [(each["min"], each["max"]) for each in none.json["queryRanges"]] == [("", "")]


async def test_a_client_is_refused_what_it_cannot_carry_out(emulator: EmulatorServer) -> None:
    features = {"x-ms-cosmos-supported-query-features": "Aggregate, Distinct,OrderBy"}
    refused = await planned(emulator, "SELECT c.n FROM c GROUP BY c.n", **features)
    assert refused.status == 400
    assert "GroupBy" in refused.json["message"]
    assert (await planned(emulator, "SELECT * FROM c ORDER BY c.n", **features)).status == 200
    assert (await planned(emulator, "SELECT nonsense(", **features)).status == 400


SORTED = [
    "SELECT c.id FROM c ORDER BY c.n DESC",
    "SELECT VALUE c.n FROM c ORDER BY c.team, c.n DESC",
]
JOINED = [
    *SORTED,
    "SELECT * FROM c WHERE c.key = 'k3' ORDER BY c.n",
    "SELECT TOP 7 c.n FROM c ORDER BY c.n",
    "SELECT VALUE c.n FROM c ORDER BY c.n OFFSET 5 LIMIT 6",
    "SELECT VALUE t FROM t IN c.tags ORDER BY t.x",
    "SELECT VALUE COUNT(1) FROM c",
    "SELECT VALUE SUM(c.some) FROM c",
    "SELECT VALUE AVG(c.some) FROM c",
    "SELECT VALUE MIN(c.some) FROM c",
    "SELECT VALUE MAX(c.some) FROM c",
    "SELECT VALUE COUNT(1) FROM c WHERE c.key IN ('k1', 'k5') ORDER BY c.n",
]


@pytest.mark.parametrize("query", JOINED)
async def test_python_joins_the_rows_to_the_same_result(
    emulator: EmulatorServer, query: str
) -> None:
    async with CosmosClient(emulator.endpoint, emulator.key) as client:
        cart = client.get_database_client("shop").get_container_client("cart")

        async def rows(page: int | None) -> list[Any]:
            found = cart.query_items(query, max_item_count=page)
            return [row async for row in found]

        direct = await rows(None)
        # What a gateway answers that cannot serve the query: from there on the client goes by a plan.
        fault = {"operation": "query_items", "status": 400, "substatus": 1004, "times": 1}
        await control(emulator, "faults", fault)
        assert await rows(3) == direct
        assert emulator.meter.operations()["query_plan"]["requests"] == 1


@pytest.mark.parametrize("query", SORTED)
async def test_a_rewritten_query_takes_a_condition_to_go_on_from(
    emulator: EmulatorServer, query: str
) -> None:
    rewritten = (await planned(emulator, query)).json["queryInfo"]["rewrittenQuery"]
    resumed = rewritten.replace(RESUME, "c.n > 50 OR IS_STRING(c.n)")
    answer = await wire(emulator, "POST", DOCS, {"query": resumed}, headers={**QUERY, **CROSS})
    assert {"_rid", "orderByItems", "payload"} == set(answer.json["Documents"][0])
    assert answer.json["_count"] == 9


async def test_groups_come_in_parts_that_add_up(emulator: EmulatorServer) -> None:
    query = "SELECT c.team, COUNT(1) AS n, AVG(c.some) AS a FROM c GROUP BY c.team"
    rewritten = (await planned(emulator, query)).json["queryInfo"]["rewrittenQuery"]
    found: dict[int, list[dict[str, Any]]] = {}
    for partition in emulator.engine.container("shop", "cart").partitions():
        headers = {**QUERY, "x-ms-documentdb-partitionkeyrangeid": partition.range_id}
        answer = await wire(emulator, "POST", DOCS, {"query": rewritten}, headers=headers)
        for row in answer.json["Documents"]:
            assert row["groupByItems"] == [{"item": row["payload"]["team"]}]
            found.setdefault(row["payload"]["team"], []).append(row["payload"])
    assert {team: sum(part["n"]["item"] for part in parts) for team, parts in found.items()} == {
        0: 20,
        1: 20,
        2: 20,
    }
    assert set(found[0][0]["a"]["item"]) == {"sum", "count"}
