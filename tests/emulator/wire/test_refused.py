"""What the emulator does not do is refused, and what changes nothing is passed over."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import cosmos_emulator
from cosmos_emulator import EmulatorServer
from tests.fixtures.emulator import running_emulator
from tests.fixtures.emulator_wire import wire

README = Path(cosmos_emulator.__file__).with_name("README.md").read_text("utf-8")
CARTS = {"id": "cart", "partitionKey": {"paths": ["/cartId"]}}
KEY = {"x-ms-documentdb-partitionkey": '["a"]'}


@pytest.fixture
async def shop() -> AsyncIterator[EmulatorServer]:
    async with running_emulator() as server:
        server.engine.create_database("shop")
        server.engine.create_container("shop", CARTS)
        yield server


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "dbs/shop/colls/cart/sprocs"),
        ("POST", "dbs/shop/colls/cart/sprocs/run"),
        ("GET", "dbs/shop/colls/cart/triggers"),
        ("GET", "dbs/shop/colls/cart/udfs/f"),
        ("GET", "dbs/shop/users"),
    ],
)
async def test_resources_that_there_are_not(shop: EmulatorServer, method: str, path: str) -> None:
    refused = await wire(shop, method, path, {"id": "run", "body": "function () {}"})
    assert (refused.status, refused.json["code"]) == (501, "NotImplemented")
    assert (await wire(shop, method, path, key="b3RoZXI=")).status == 401


async def test_a_trigger_asked_for_is_no_write_without_it(shop: EmulatorServer) -> None:
    path, body = "dbs/shop/colls/cart/docs", {"id": "1", "cartId": "a"}
    asked = {**KEY, "x-ms-documentdb-pre-trigger-include": "stamp"}
    assert (await wire(shop, "POST", path, body, headers=asked)).status == 501
    assert (await wire(shop, "GET", f"{path}/1", headers=KEY)).status == 404


@pytest.mark.parametrize(
    "asked",
    [
        {"analyticalStorageTtl": -1},
        {"changeFeedPolicy": {"retentionDuration": 10}},
        {"materializedViewDefinition": {"sourceCollectionId": "x", "definition": "SELECT *"}},
    ],
)
async def test_containers_that_would_not_be_what_they_say(
    shop: EmulatorServer, asked: dict[str, Any]
) -> None:
    refused = await wire(shop, "POST", "dbs/shop/colls", {**CARTS, "id": "other", **asked})
    assert refused.status == 501
    assert next(iter(asked)) in refused.json["message"]


async def test_a_policy_that_asks_for_nothing_is_none(shop: EmulatorServer) -> None:
    asked = {"changeFeedPolicy": {"retentionDuration": 0}, "uniqueKeyPolicy": {"uniqueKeys": []}}
    made = await wire(shop, "POST", "dbs/shop/colls", {**CARTS, "id": "other", **asked})
    assert made.status == 201


async def test_what_changes_nothing_is_passed_over(shop: EmulatorServer) -> None:
    (told,) = re.findall(r"^Passed over are.*?\n\n", README, re.MULTILINE | re.DOTALL)
    headers = dict.fromkeys(re.findall(r"`(x-ms-[a-z0-9-]+)`", told), "1")
    assert len(headers) > 9
    path = "dbs/shop/colls/cart/docs"
    given = {**KEY, **headers}
    assert (await wire(shop, "POST", path, {"id": "1", "cartId": "a"}, headers=given)).status == 201
    assert (await wire(shop, "GET", f"{path}/1", headers=given)).json["id"] == "1"
