"""Requests that a client library would hardly send, by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from cosmos_emulator import EmulatorServer
from tests.fixtures.emulator import control, running_emulator
from tests.fixtures.emulator_wire import WireAnswer, wire

_DOCS = "dbs/shop/colls/cart/docs"
_KEY = {"x-ms-documentdb-partitionkey": '["a"]'}
_FEED = {"A-IM": "Incremental Feed"}
_BATCH = {"x-ms-cosmos-is-batch-request": "True", **_KEY}


@pytest.fixture
async def emulator() -> Any:
    async with running_emulator(partitions=1) as server:
        server.engine.create_database("shop")
        server.engine.create_container(
            "shop", {"id": "cart", "partitionKey": {"paths": ["/cartId"]}, "defaultTtl": -1}
        ).create({"id": "1", "cartId": "a"})
        yield server


async def test_the_only_partition_need_not_be_named(emulator: EmulatorServer) -> None:
    answer = await wire(emulator, "GET", _DOCS, headers=_FEED)
    assert [each["id"] for each in answer.json["Documents"]] == ["1"]
    empty = await wire(emulator, "GET", _DOCS, headers={**_FEED, "If-None-Match": '""'})
    assert empty.json["_count"] == 1


async def test_a_feed_may_be_of_one_partition_key(emulator: EmulatorServer) -> None:
    own = await wire(emulator, "GET", _DOCS, headers={**_FEED, **_KEY})
    other = {**_FEED, "x-ms-documentdb-partitionkey": '["b"]'}
    assert own.json["_count"] == 1
    assert (await wire(emulator, "GET", _DOCS, headers=other)).status == 304


async def test_dotnet_puts_the_rid_before_the_range(emulator: EmulatorServer) -> None:
    rid = emulator.engine.container("shop", "cart").rid
    headers = {**_FEED, "x-ms-documentdb-partitionkeyrangeid": f"{rid},0"}
    assert (await wire(emulator, "GET", _DOCS, headers=headers)).status == 200


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(("GET", "/1", {}, None), 400, id="read without a key"),
        pytest.param(("GET", "/1", {"x-ms-documentdb-partitionkey": "a"}, None), 400, id="bad key"),
        pytest.param(("POST", "", _KEY, b"{"), 400, id="bad JSON"),
        pytest.param(("POST", "", _BATCH, b"{"), 400, id="bad batch"),
        pytest.param(("POST", "", _BATCH, b"{}"), 400, id="batch is no list"),
        pytest.param(("POST", "", _BATCH, b"[1]"), 400, id="batch of no objects"),
        pytest.param(
            (
                "POST",
                "",
                _BATCH,
                b'[{"operationType":"Create","resourceBody":{"id":"x","cartId":"a","t":"'
                + b"x" * 2_200_000
                + b'"}}]',
            ),
            413,
            id="large batch",
            marks=pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning"),
        ),
        pytest.param(
            ("POST", "", {"x-ms-cosmos-is-query-plan-request": "True"}, b"{}"), 400, id="plan"
        ),
        pytest.param(("PATCH", "/1", _KEY, b'{"operations": 1}'), 400, id="patch is no list"),
        pytest.param(
            ("PATCH", "/1", _KEY, b'{"operations":[{"op":"set","path":"/cartId","value":"b"}]}'),
            400,
            id="patch of the key",
        ),
        pytest.param(("PUT", "/1", _KEY, b'{"id":"1","cartId":"b"}'), 400, id="replace of the key"),
        pytest.param(("DELETE", "", {}, None), 404, id="no such operation"),
    ],
)
async def test_what_makes_no_sense_is_refused_in_json(
    emulator: EmulatorServer,
    request_: tuple[str, str, Mapping[str, str], bytes | None],
    status: int,
) -> None:
    method, path, headers, body = request_
    answer = await wire(emulator, method, _DOCS + path, body, headers=headers)
    assert answer.status == status
    assert answer.json["message"]


async def test_every_answer_of_an_item_has_its_session(emulator: EmulatorServer) -> None:
    async def ask(method: str, name: str, body: object = None, **extra: str) -> WireAnswer:
        headers = {**_KEY, **{key.replace("_", "-"): value for key, value in extra.items()}}
        path = f"{_DOCS}/{name}" if method != "POST" else _DOCS
        return await wire(emulator, method, path, body, headers=headers)

    item = {"id": "1", "cartId": "a"}
    etag = (await ask("GET", "1")).headers["etag"]
    answers = [
        (200, await ask("GET", "1")),
        (304, await ask("GET", "1", If_None_Match=etag)),
        (404, await ask("GET", "2")),
        (409, await ask("POST", "", item)),
        (412, await ask("PUT", "1", item, If_Match='"x"')),
        (412, await ask("POST", "", item, If_None_Match="*", x_ms_documentdb_is_upsert="True")),
        (404, await ask("DELETE", "2")),
        (404, await ask("GET", "1", x_ms_session_token="0:-1#9")),
    ]
    assert [answer.status for _, answer in answers] == [status for status, _ in answers]
    assert {answer.headers["x-ms-session-token"] for _, answer in answers} == {"0:-1#1"}
    assert {answer.headers["lsn"] for _, answer in answers} == {"1"}
    assert [answer.substatus for _, answer in answers] == [0, 0, 0, 0, 0, 0, 0, 1002]
    deleted = await ask("DELETE", "1")
    assert (deleted.status, deleted.headers["x-ms-session-token"]) == (204, "0:-1#2")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"x-ms-offer-throughput": "many"}, 400),
        ({"x-ms-cosmos-offer-autopilot-settings": "many"}, 400),
        ({"x-ms-offer-throughput": "500"}, 201),
    ],
    ids=["nonsense", "autopilot nonsense", "number"],
)
async def test_throughput_is_a_number(
    emulator: EmulatorServer, headers: Mapping[str, str], status: int
) -> None:
    body = {"id": "new", "partitionKey": {"paths": ["/id"]}}
    assert (await wire(emulator, "POST", "dbs/shop/colls", body, headers=headers)).status == status
    assert len((await wire(emulator, "GET", "dbs/shop/colls")).json["DocumentCollections"]) == (
        2 if status == 201 else 1
    )


async def test_offers_are_read_and_replaced_by_their_id(emulator: EmulatorServer) -> None:
    (offer,) = (await wire(emulator, "GET", "offers")).json["Offers"]
    path = f"offers/{offer['id']}"
    assert (await wire(emulator, "GET", path)).json == offer
    assert (await wire(emulator, "PUT", path, {"content": 1})).status == 400
    assert (await wire(emulator, "GET", "offers/none")).status == 404
    assert (await wire(emulator, "PUT", "offers/none", {"content": {}})).status == 404


async def test_a_page_asked_twice_is_the_same_page(emulator: EmulatorServer) -> None:
    container = emulator.engine.container("shop", "cart")
    container.load({"id": f"{n}", "cartId": "a"} for n in range(10))
    size = {"x-ms-max-item-count": "4"}
    first = await wire(emulator, "GET", _DOCS, headers=size)
    token = {**size, "x-ms-continuation": first.headers["x-ms-continuation"]}
    second = await wire(emulator, "GET", _DOCS, headers=token)
    again = await wire(emulator, "GET", _DOCS, headers=token)
    assert second.body == again.body
    assert second.headers["x-ms-continuation"] == again.headers["x-ms-continuation"]
    assert second.json["Documents"][0] not in first.json["Documents"]


async def test_resource_ids_address_what_names_address(
    emulator: EmulatorServer,
) -> None:
    database = emulator.engine.database("shop")
    path = f"dbs/{database.rid}/colls/{emulator.engine.container('shop', 'cart').rid}/docs/1"
    assert (await wire(emulator, "GET", path, headers=_KEY)).json["id"] == "1"


@pytest.mark.parametrize(
    ("name", "status"),
    [
        pytest.param("Test", 200, id="plain"),
        pytest.param("This is a test", 200, id="spaces"),
        pytest.param(" Test", 200, id="starts with a space"),
        pytest.param("Test ", 401, id="ends with a space"),
        pytest.param("Test  ", 401, id="ends with spaces"),
        pytest.param("WithAllowedSpecial,=.:~+-@()^${}[]!_Chars", 200, id="allowed"),
        pytest.param("BQE1D3PdG4N4bzU9TKaCIM3qc0TVcZ2-Y3jnsRfwdHC1om=", 200, id="base64"),
        pytest.param("EndingWithPercentEncodedWhitespace%20", 401, id="ends with an escape"),
        pytest.param("WithPercentEncodedSpecialChar%E9%B1%80", 401, id="escapes"),
        pytest.param("Disallowed?Chars", 200, id="question mark"),
        pytest.param("Disallowed/Chars", 401, id="slash"),
        pytest.param("Disallowed\\Chars", 401, id="backslash"),
        pytest.param("Disallowed#Chars", 401, id="number sign"),
        pytest.param("With\rCarriageReturn", 400, id="carriage return"),
        pytest.param("With\tTab", 400, id="tab"),
        pytest.param("With\nLineFeed", 400, id="line feed"),
        pytest.param("WithUnicode鱀", 200, id="beyond ASCII"),
    ],
)
async def test_ids_meet_what_the_gateway_makes_of_them_when_it_is_chosen(
    emulator: EmulatorServer, name: str, status: int
) -> None:
    """Source: the id encoding tests of azure-sdk-for-go, routing and compute gateway."""
    path = (*_DOCS.split("/"), name)
    document = {"id": name, "cartId": "a"}
    upsert = {**_KEY, "x-ms-documentdb-is-upsert": "True"}
    requests = [("GET", None), ("PUT", document), ("DELETE", None)]
    for answer, expected in (("as_sent", 200), ("gateway", status)):
        await control(emulator, "odd_ids", {"answer": answer})
        await wire(emulator, "POST", _DOCS, document, headers=upsert)
        met = [
            (await wire(emulator, method, path, body, headers=_KEY)).status
            for method, body in requests
        ]
        assert met == [expected, expected, 204 if expected == 200 else expected]
