"""The plugin's fixtures, as the tests of anybody use them."""

from __future__ import annotations

import time
from typing import Any

import pytest
from azure.cosmos import ContainerProxy, CosmosClient, PartitionKey, aio
from azure.cosmos.exceptions import CosmosHttpResponseError, CosmosResourceNotFoundError

from cosmos_emulator import Emulator, EmulatorError
from tests.fixtures.blocking import blocking_client


def cart(client: CosmosClient, database: str = "shop") -> ContainerProxy:
    shop = client.create_database_if_not_exists(database)
    return shop.create_container("cart", PartitionKey("/cartId"), default_ttl=60)


@pytest.mark.parametrize("turn", [1, 2])
def test_an_account_is_fresh(cosmos_account: Emulator, turn: int) -> None:
    with blocking_client(cosmos_account.endpoint, cosmos_account.key) as client:
        assert [each["id"] for each in client.list_databases()] == []
        client.create_database(f"shop{turn}")


@pytest.mark.parametrize("turn", [1, 2])
def test_a_database_is_fresh_and_what_was_done_to_its_account_is_undone(
    cosmos_emulator: Emulator, cosmos_database: str, turn: int
) -> None:
    del turn
    assert cosmos_emulator.control("GET", "clock")["offset_seconds"] == 0
    assert cosmos_emulator.control("GET", "faults") == {"faults": []}
    with blocking_client(cosmos_emulator.endpoint, cosmos_emulator.key) as client:
        assert [each["id"] for each in client.list_databases()] == [cosmos_database]
        carts = cart(client, cosmos_database)
        carts.create_item({"id": " a", "cartId": "a"})
        assert carts.read_item(" a", "a")["id"] == " a"
    cosmos_emulator.control("POST", "odd_ids", {"answer": "not_found"})
    cosmos_emulator.advance_clock(3600)
    cosmos_emulator.install_fault(status=503)


def test_ranges_split_and_merge(cosmos_account: Emulator) -> None:
    with blocking_client(cosmos_account.endpoint, cosmos_account.key) as client:
        carts = cart(client)
        for number in range(20):
            carts.create_item({"id": str(number), "cartId": f"k{number}"})
        assert cosmos_account.ranges("shop", "cart") == ["0", "1", "2", "3"]
        children = cosmos_account.split("shop", "cart")
        assert cosmos_account.ranges("shop", "cart") == [*children, "1", "2", "3"]
        assert cosmos_account.split("shop", "cart", "3") == ["6", "7"]
        child = cosmos_account.merge("shop", "cart")
        assert cosmos_account.merge("shop", "cart", ["6", "7"]) == "9"
        assert cosmos_account.ranges("shop", "cart") == [child, "1", "2", "9"]
        assert len(list(carts.read_all_items())) == 20


def test_time_passes_when_the_test_says_so(cosmos_account: Emulator) -> None:
    with blocking_client(cosmos_account.endpoint, cosmos_account.key) as client:
        carts = cart(client)
        carts.create_item({"id": "1", "cartId": "a"})
        cosmos_account.advance_clock(30)
        cosmos_account.advance_clock(29)
        assert abs(carts.upsert_item({"id": "2", "cartId": "a"})["_ts"] - time.time() - 59) < 9
        cosmos_account.advance_clock(2)
        with pytest.raises(CosmosResourceNotFoundError):
            carts.read_item("1", "a")
        cosmos_account.advance_clock(-61)
        assert carts.read_item("2", "a")["id"] == "2"


async def test_faults_strike_clients_of_asyncio_too(cosmos_account: Emulator) -> None:
    async with aio.CosmosClient(
        cosmos_account.endpoint, cosmos_account.key, retry_total=0
    ) as client:
        await client.create_database("shop")
        cosmos_account.install_fault(operation="read_database", status=403, times=1)
        shop = client.get_database_client("shop")
        with pytest.raises(CosmosHttpResponseError):
            await shop.read()
        assert (await shop.read())["id"] == "shop"
        cosmos_account.install_fault(operation="read_database", status=403)
        cosmos_account.clear_faults()
        assert (await shop.read())["id"] == "shop"
    assert cosmos_account.stats()["operations"]["read_database"]["requests"] == 3


def test_a_reset_account_is_as_at_its_start(cosmos_account: Emulator) -> None:
    cosmos_account.create_database("shop")
    cosmos_account.advance_clock(5)
    cosmos_account.install_fault(status=503)
    cosmos_account.control("POST", "odd_ids", {"answer": "not_found"})
    cosmos_account.reset()
    assert cosmos_account.control("GET", "clock")["offset_seconds"] == 0
    assert cosmos_account.stats() == {"operations": {}, "ranges": [], "waiting": 0}
    with blocking_client(cosmos_account.endpoint, cosmos_account.key) as client:
        assert list(client.list_databases()) == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("dbs/shop/colls/none/split", {"range": "0"}),
        ("faults", {"nonsense": 1}),
        ("clock", {"offset_seconds": "soon"}),
        ("nothing", None),
    ],
)
def test_what_makes_no_sense_is_an_error(
    cosmos_account: Emulator, path: str, body: dict[str, Any] | None
) -> None:
    with pytest.raises(EmulatorError):
        cosmos_account.control("POST", path, body)


def test_an_emulator_runs_again_and_has_no_endpoint_before() -> None:
    emulator = Emulator(partitions=1)
    with pytest.raises(RuntimeError):
        _ = emulator.endpoint
    emulator.stop()
    with emulator as first:
        assert first.key
    with emulator:
        emulator.create_database("shop")
    with pytest.raises(RuntimeError):
        emulator.reset()


def test_a_port_that_is_taken_is_an_os_error(cosmos_account: Emulator) -> None:
    port = int(cosmos_account.endpoint.rstrip("/").rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        Emulator(port=port).start()
