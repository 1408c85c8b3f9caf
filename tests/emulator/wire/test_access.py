"""Who is let in, over http and https."""

from __future__ import annotations

import ssl
import time

import aiohttp
import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient

from cosmos_emulator import EmulatorServer
from tests.fixtures.emulator import running_emulator
from tests.fixtures.emulator_wire import wire

_OTHER_KEY = "b3RoZXJrZXk="


async def test_the_wrong_key_is_401(emulator: EmulatorServer) -> None:
    answer = await wire(emulator, "GET", "dbs", key=_OTHER_KEY)
    assert (answer.status, answer.json["code"]) == (401, "Unauthorized")


@pytest.mark.parametrize(
    "header",
    ["", "nonsense", "type=master&ver=1.0&sig=", "type%3Daad%26ver%3D1.0%26sig%3Dx.y.z"],
    ids=["none", "nonsense", "no signature", "token"],
)
async def test_no_signature_is_401(emulator: EmulatorServer, header: str) -> None:
    answer = await wire(emulator, "GET", "dbs", headers={"authorization": header})
    assert answer.status == 401


async def test_a_signature_is_for_one_request_only(emulator: EmulatorServer) -> None:
    signed: dict[str, str] = {}
    date = "Sun, 22 Nov 2026 04:41:08 GMT"
    answer = await wire(emulator, "GET", "dbs", headers={**signed, "x-ms-date": date})
    assert answer.status == 401


async def test_an_old_signature_is_403(emulator: EmulatorServer) -> None:
    assert (await wire(emulator, "GET", "dbs", now=time.time() - 3600)).status == 403
    assert (await wire(emulator, "GET", "dbs", now=time.time() - 600)).status == 200


async def test_a_server_has_the_key_it_was_given() -> None:
    async with running_emulator(key=_OTHER_KEY) as server:
        assert (await wire(server, "GET", "dbs", key=_OTHER_KEY)).status == 200
        assert server.key == _OTHER_KEY


def test_a_key_that_is_not_base64_is_refused() -> None:
    with pytest.raises(ValueError, match="base64"):
        EmulatorServer(key="not base64!")


async def test_https_with_a_key() -> None:
    async with running_emulator(https=True) as server:
        assert server.endpoint.startswith("https://127.0.0.1:")
        async with CosmosClient(server.endpoint, server.key) as client:
            database = await client.create_database("shop")
            container = await database.create_container("cart", PartitionKey(path="/cartId"))
            await container.create_item({"id": "1", "cartId": "a"})
            assert (await container.read_item("1", "a"))["id"] == "1"


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Origin": "https://evil.example"}, id="a page"),
        pytest.param({"Origin": "null"}, id="a page without a place"),
        pytest.param({"Host": "rebound.example:8081"}, id="a name led here"),
        pytest.param({"Host": "internal.example"}, id="a name like one of ours"),
    ],
)
async def test_no_web_page_drives_the_emulator(
    emulator: EmulatorServer, headers: dict[str, str]
) -> None:
    for path in ("_emulator/purge", "_emulator/dbs/shop/colls/cart/bulk"):
        assert (await wire(emulator, "POST", path, headers=headers)).status == 403
    assert (await wire(emulator, "POST", "_emulator/purge")).status == 200


async def test_a_client_may_trust_the_certificate() -> None:
    async with running_emulator(https=True) as server:
        url = f"{server.endpoint}_emulator/certificate"
        async with aiohttp.ClientSession() as session:
            async with session.get(url, ssl=False) as given:
                pem = await given.text()
            strict = ssl.create_default_context(cadata=pem)
            strict.verify_flags |= ssl.VERIFY_X509_STRICT
            async with session.get(url, ssl=strict) as trusted:
                assert trusted.status == 200


async def test_without_https_there_is_no_certificate(emulator: EmulatorServer) -> None:
    assert (await wire(emulator, "GET", "_emulator/certificate")).status == 404


@pytest.mark.parametrize("host", ["cosmos:8081", "host.docker.internal:8081", "a.localhost"])
async def test_a_name_that_no_page_has_drives_it(emulator: EmulatorServer, host: str) -> None:
    answer = await wire(emulator, "POST", "_emulator/purge", headers={"Host": host})
    assert answer.status == 200


@pytest.mark.parametrize("host", ["cosmos.test:8081", "host.docker.internal", "127.0.0.1"])
async def test_whether_it_is_there_is_told_under_every_name(
    emulator: EmulatorServer, host: str
) -> None:
    headers = {"Host": host, "authorization": ""}
    answer = await wire(emulator, "GET", "_emulator/health", headers=headers)
    assert (answer.status, answer.json) == (200, {"status": "ready"})
    asked = await wire(emulator, "HEAD", "_emulator/health", headers=headers)
    assert (asked.status, asked.body) == (200, b"")
