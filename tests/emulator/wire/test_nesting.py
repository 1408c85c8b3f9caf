"""Nesting: as deep as the service stores it, and never a way to exhaust whoever reads it.

Source: Cosmos DB documentation, limits per item (128 levels of embedded objects and arrays).
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from cosmos_emulator import EmulatorServer
from tests.fixtures.emulator import control, running_emulator
from tests.fixtures.emulator_wire import wire

DOCS = "dbs/shop/colls/cart/docs"
KEY = {"x-ms-documentdb-partitionkey": '["a"]'}
QUERY = {**KEY, "x-ms-documentdb-isquery": "True", "Content-Type": "application/query+json"}
SHAPES = {"lists": ("[", "0", "]"), "objects": ('{"a":', "0", "}")}
QUERIES = [
    "SELECT DISTINCT VALUE c.x FROM c",
    "SELECT VALUE 1 FROM c WHERE c.x = c.x",
    "SELECT c.x, COUNT(1) AS n FROM c GROUP BY c.x",
    "SELECT VALUE TOSTRING(c.x) FROM c ORDER BY c.x",
    "SELECT VALUE ARRAY_CONTAINS([{'x': c.x}], {'x': c.x}, true) FROM c",
]


@pytest.fixture
async def emulator() -> AsyncIterator[EmulatorServer]:
    async with running_emulator(partitions=1) as server:
        server.engine.create_database("shop")
        server.engine.create_container(
            "shop", {"id": "cart", "partitionKey": {"paths": ["/cartId"]}}
        )
        yield server


def nested(shape: str, levels: int) -> str:
    opening, inmost, closing = SHAPES[shape]
    return opening * levels + inmost + closing * levels


@pytest.mark.parametrize("shape", list(SHAPES))
@pytest.mark.parametrize(
    ("levels", "status"), [(128, 201), (129, 400), (700, 400), (990, 400), (100_000, 400)]
)
async def test_a_document_nests_128_levels_deep(
    emulator: EmulatorServer, shape: str, levels: int, status: int
) -> None:
    body = f'{{"id":"1","cartId":"a","x":{nested(shape, levels)}}}'.encode()
    assert (await wire(emulator, "POST", DOCS, body)).status == status
    batch = b'[{"operationType":"Upsert","resourceBody":%b}]' % body
    answer = await wire(
        emulator, "POST", DOCS, batch, headers={**KEY, "x-ms-cosmos-is-batch-request": "True"}
    )
    assert answer.status == {201: 200, 400: 207 if levels < 900 else 400}[status]


async def test_a_request_beyond_16_mib_is_refused_as_the_service_refuses(
    emulator: EmulatorServer,
) -> None:
    answer = await wire(emulator, "POST", DOCS, b" " * (16 * 2**20 + 1))
    assert (answer.status, answer.json["code"]) == (413, "RequestEntityTooLarge")


@pytest.mark.parametrize("shape", list(SHAPES))
async def test_whatever_lies_deeper_is_no_error_of_the_emulator(
    emulator: EmulatorServer, shape: str
) -> None:
    deep = nested(shape, 900)
    raw = f'{{"id":"1","cartId":"a","x":{deep}}}'.encode()
    await control(emulator, "dbs/shop/colls/cart/raw", raw)
    for query in QUERIES:
        answer = await wire(emulator, "POST", DOCS, {"query": query}, headers=QUERY)
        assert answer.status in {200, 400}
        asked = f'{{"query":"SELECT VALUE @p = @p FROM c","parameters":[{{"name":"@p","value":{deep}}}]}}'
        parameter = await wire(emulator, "POST", DOCS, asked.encode(), headers=QUERY)
        assert parameter.status == 400
    odd = {"x-ms-documentdb-partitionkey": nested(shape, 990)}
    assert (await wire(emulator, "GET", f"{DOCS}/1", headers=odd)).status == 400
    patch = f'{{"operations":[{{"op":"add","path":"/z","value":{deep}}}]}}'.encode()
    assert (await wire(emulator, "PATCH", f"{DOCS}/1", patch, headers=KEY)).status == 400
