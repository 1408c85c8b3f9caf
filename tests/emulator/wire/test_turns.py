"""However long a query takes, everybody else is answered meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from cosmos_emulator import EmulatorServer, turns
from tests.fixtures.emulator import running_emulator
from tests.fixtures.emulator_wire import WireAnswer, wire

DOCS = "dbs/shop/colls/cart/docs"
QUERY = {
    "x-ms-documentdb-isquery": "True",
    "Content-Type": "application/query+json",
    "x-ms-documentdb-query-enablecrosspartition": "True",
    "x-ms-max-item-count": "5",
}
FEED = {"A-IM": "Incremental feed", "x-ms-documentdb-partitionkeyrangeid": "0"}


@pytest.fixture
async def emulator() -> AsyncIterator[EmulatorServer]:
    async with running_emulator(partitions=1) as server:
        server.engine.create_database("shop")
        cart = server.engine.create_container(
            "shop", {"id": "cart", "partitionKey": {"paths": ["/key"]}}
        )
        cart.load({"id": str(n), "key": f"k{n}", "l": list(range(100))} for n in range(20))
        yield server


async def ask(server: EmulatorServer, query: str, **more: str) -> WireAnswer:
    return await wire(server, "POST", DOCS, {"query": query}, headers={**QUERY, **more})


async def test_the_change_feed_is_answered_while_a_query_runs(
    emulator: EmulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "PAGE_STEPS", 400_000)
    endless = "SELECT VALUE COUNT(1) FROM c JOIN a IN c.l JOIN b IN c.l JOIN d IN c.l"
    running = asyncio.create_task(ask(emulator, endless))
    while not emulator.turns.taken:  # noqa: ASYNC110 - there is nothing to wait for but the loop itself
        await asyncio.sleep(0)
    fed = await wire(emulator, "GET", DOCS, headers=FEED)
    written = await wire(emulator, "POST", DOCS, {"id": "new", "key": "k"})
    assert (fed.status, written.status) == (200, 201)
    assert not running.done()
    answer = await running
    assert (answer.status, "400,000 steps" in answer.json["message"]) == (400, True)


async def test_a_query_sees_the_documents_as_they_were_when_it_began(
    emulator: EmulatorServer,
) -> None:
    running = asyncio.create_task(
        ask(emulator, "SELECT VALUE COUNT(1) FROM c JOIN a IN c.l JOIN b IN c.l")
    )
    while not emulator.turns.taken:  # noqa: ASYNC110 - there is nothing to wait for but the loop itself
        await asyncio.sleep(0)
    deleted = await wire(
        emulator,
        "DELETE",
        f"{DOCS}/19",
        headers={"x-ms-documentdb-partitionkey": '["k19"]'},
    )
    assert (deleted.status, running.done()) == (204, False)
    assert (await running).json["Documents"] == [20 * 100 * 100]


async def test_two_may_read_the_same_page_at_once(emulator: EmulatorServer) -> None:
    query = "SELECT VALUE a + b FROM c JOIN a IN c.l JOIN b IN c.l WHERE a + b = 197"
    first = await ask(emulator, query)
    token = first.headers["x-ms-continuation"]
    pages = await asyncio.gather(
        *(ask(emulator, query, **{"x-ms-continuation": token}) for _ in range(3))
    )
    assert [page.json["Documents"] for page in pages] == [[197] * 5] * 3
    assert emulator.turns.taken > 8
