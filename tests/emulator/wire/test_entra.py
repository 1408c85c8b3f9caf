"""The dummy Entra: whose tokens open the account, and what for.

Source of status, substatus and message of what the service refuses: issues of the SDKs' users.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import jwt
import pytest
from azure.cosmos import aio
from azure.cosmos.exceptions import CosmosHttpResponseError
from cryptography.hazmat.primitives.asymmetric import rsa

from cosmos_emulator import Emulator, EmulatorError, EmulatorServer
from cosmos_emulator.credentials import AsyncCredential
from cosmos_emulator.entra import Entra, Role, Token
from tests.fixtures.blocking import blocking_client
from tests.fixtures.emulator import control, running_emulator
from tests.fixtures.emulator_wire import WireAnswer, wire

CARTS = {"id": "cart", "partitionKey": {"paths": ["/cartId"]}}
KEY = {"x-ms-documentdb-partitionkey": '["a"]'}
DOCS = "dbs/shop/colls/cart/docs"
CART = {"id": "1", "cartId": "a"}


def fill(server: EmulatorServer) -> None:
    server.engine.create_database("shop")
    server.engine.create_container("shop", CARTS).create(CART)


@pytest.fixture
async def shop() -> AsyncIterator[EmulatorServer]:
    async with running_emulator() as server:
        fill(server)
        yield server


@pytest.fixture(scope="module")
def account() -> Iterator[Emulator]:
    with Emulator(https=True) as running:
        running._call(fill)
        yield running


async def bearing(server: EmulatorServer, token: str, *request: Any, **options: Any) -> WireAnswer:
    """The answer to a request that is signed in by a token."""
    headers = {**KEY, "authorization": f"type=aad&ver=1.0&sig={token}"}
    return await wire(server, *request, headers=headers, **options)


# What the blocking client says to localhost.
@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_the_client_signs_in(account: Emulator) -> None:
    with blocking_client(account.endpoint, account.credential()) as client:
        carts = client.get_database_client("shop").get_container_client("cart")
        assert carts.read_item("1", "a")["id"] == "1"
        assert carts.upsert_item({"id": "2", "cartId": "a"})["id"] == "2"


async def test_the_client_of_asyncio_signs_in_again_when_its_token_has_expired(
    account: Emulator,
) -> None:
    made: list[str] = []

    def mint(audience: str) -> Token:
        made.append(audience)
        return account.token(audience)

    credential: Any = AsyncCredential(mint)
    async with aio.CosmosClient(account.endpoint, credential) as client:
        carts = client.get_database_client("shop").get_container_client("cart")
        assert (await carts.read_item("1", "a"))["id"] == "1"
        account.advance_clock(3700)
        assert (await carts.read_item("1", "a"))["id"] == "1"
    assert made == ["https://127.0.0.1"] * 2


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_the_client_is_told_what_a_token_is_not_for(account: Emulator) -> None:
    with blocking_client(account.endpoint, account.credential()) as client:
        with pytest.raises(CosmosHttpResponseError) as caught:
            client.create_database("other")
        assert (caught.value.status_code, caught.value.sub_status) == (403, 5300)
        assert "[POST /dbs] cannot be authorized by AAD token in data plane" in caught.value.message


def of_another_key(_: Entra) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    claims = {"aud": "https://cosmos.azure.com", "exp": int(time.time()) + 60, "oid": "x"}
    return jwt.encode({**claims, "roles": ["contributor"]}, key, algorithm="RS256")


@pytest.mark.parametrize(
    ("made", "substatus", "told"),
    [
        pytest.param(of_another_key, 0, "not valid", id="another key"),
        pytest.param(lambda _: "e30.e30.c2ln", 0, "not valid", id="no token"),
        pytest.param(lambda _: "", 0, "not valid", id="nothing"),
        pytest.param(
            lambda _: jwt.encode({"aud": "x"}, "", algorithm="none"),
            0,
            "not valid",
            id="not signed",
        ),
        pytest.param(
            lambda entra: entra.token(lifetime_seconds=-60).token,
            0,
            "has been expired since [",
            id="expired",
        ),
        pytest.param(
            lambda entra: entra.token("https://management.azure.com").token,
            5008,
            "is intended for [https://management.azure.com]. This database account accepts",
            id="another audience",
        ),
        pytest.param(
            lambda entra: entra.token("https://cosmos.azure.com/").token,
            5008,
            "is intended for [https://cosmos.azure.com/]",
            id="nearly the audience",
        ),
    ],
)
async def test_other_tokens_are_401(
    shop: EmulatorServer, made: Callable[[Entra], str], substatus: int, told: str
) -> None:
    answer = await bearing(shop, made(shop.entra), "GET", f"{DOCS}/1")
    assert (answer.status, answer.substatus) == (401, substatus)
    assert answer.json["code"] == "Unauthorized"
    assert told in answer.json["message"]
    assert answer.json["message"].startswith("Request blocked by Auth")


async def test_a_token_for_the_accounts_own_address_opens_it(shop: EmulatorServer) -> None:
    for audience in ("http://127.0.0.1", shop.endpoint.rstrip("/"), "https://cosmos.azure.com"):
        token = shop.entra.token(audience).token
        assert (await bearing(shop, token, "GET", f"{DOCS}/1")).status == 200


async def test_a_host_that_is_none_leaves_the_common_audience(shop: EmulatorServer) -> None:
    for audience, status in (("https://cosmos.azure.com", 200), ("http://127.0.0.1", 401)):
        authorization = f"type=aad&ver=1.0&sig={shop.entra.token(audience).token}"
        headers = {**KEY, "authorization": authorization, "Host": "[::1"}
        assert (await wire(shop, "GET", f"{DOCS}/1", headers=headers)).status == status


async def test_a_token_of_another_account_is_another_key(shop: EmulatorServer) -> None:
    async with running_emulator() as other:
        token = other.entra.token().token
    assert (await bearing(shop, token, "GET", f"{DOCS}/1")).status == 401


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "dbs", {"id": "other"}),
        ("DELETE", "dbs/shop", None),
        ("POST", "dbs/shop/colls", {**CARTS, "id": "other"}),
        ("PUT", "dbs/shop/colls/cart", CARTS),
        ("DELETE", "dbs/shop/colls/cart", None),
        ("GET", "offers", None),
    ],
)
async def test_a_token_manages_nothing(
    shop: EmulatorServer, method: str, path: str, body: object
) -> None:
    answer = await bearing(shop, shop.entra.token().token, method, path, body)
    assert (answer.status, answer.substatus) == (403, 5300)
    assert f"[{method} /{path}] cannot be authorized" in answer.json["message"]


async def test_a_reader_writes_nothing(shop: EmulatorServer) -> None:
    token = shop.entra.token(role="reader", principal="me").token
    assert (await bearing(shop, token, "GET", f"{DOCS}/1")).status == 200
    assert (await bearing(shop, token, "GET", "dbs/shop/colls/cart/pkranges")).status == 200
    for request in (("POST", DOCS, CART), ("PUT", f"{DOCS}/1", CART), ("DELETE", f"{DOCS}/1")):
        answer = await bearing(shop, token, *request)
        assert (answer.status, answer.substatus) == (403, 5301)
        assert "principal [me] does not have required RBAC permissions" in answer.json["message"]
        assert "on resource [dbs/shop/colls/cart/docs" in answer.json["message"]


async def test_who_has_no_role_reads_nothing(shop: EmulatorServer) -> None:
    answer = await bearing(shop, shop.entra.token(role=Role.NONE).token, "GET", "")
    assert (answer.status, answer.substatus) == (403, 5301)
    assert "readMetadata] on resource [/]" in answer.json["message"]


async def test_clients_of_any_language_are_given_tokens(shop: EmulatorServer) -> None:
    given = await control(shop, "token", {"role": "reader", "lifetime_seconds": 60})
    assert given["token_type"] == "Bearer"
    assert 0 < given["expires_on"] - time.time() <= 60
    assert (await bearing(shop, given["access_token"], "GET", f"{DOCS}/1")).status == 200
    expired = await control(shop, "token", {"lifetime_seconds": -1})
    assert (await bearing(shop, expired["access_token"], "GET", f"{DOCS}/1")).status == 401


@pytest.mark.parametrize(
    "asked", [{"role": "king"}, {"lifetime_seconds": 1e300}, {"audience": 1}, {"role": []}]
)
def test_a_token_that_makes_no_sense_is_refused(account: Emulator, asked: dict[str, Any]) -> None:
    with pytest.raises(EmulatorError):
        account.control("POST", "token", asked)


def test_a_role_that_there_is_not_is_an_error(account: Emulator) -> None:
    with pytest.raises(ValueError, match="king"):
        account.token(role="king")
