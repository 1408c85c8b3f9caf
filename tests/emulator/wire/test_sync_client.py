"""The blocking client of azure-cosmos, unpatched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from azure.cosmos import ContainerProxy, CosmosClient, PartitionKey
from azure.cosmos.exceptions import CosmosHttpResponseError, CosmosResourceNotFoundError

from cosmos_emulator import Emulator
from tests.fixtures.blocking import blocking_client


@pytest.fixture
def container(cosmos_account: Emulator) -> Iterator[ContainerProxy]:
    with blocking_client(cosmos_account.endpoint, cosmos_account.key) as client:
        database = client.create_database("shop")
        yield database.create_container("cart", PartitionKey(path="/cartId"), default_ttl=-1)


def test_items_live_their_lives(container: ContainerProxy) -> None:
    created = container.create_item({"id": "1", "cartId": "a", "quantity": 1})
    assert container.read_item("1", "a") == created
    assert container.upsert_item({"id": "1", "cartId": "a", "quantity": 2})["quantity"] == 2
    assert container.replace_item("1", {"id": "1", "cartId": "a"})["_rid"] == created["_rid"]
    operations: list[dict[str, Any]] = [{"op": "add", "path": "/n", "value": 1}]
    assert container.patch_item("1", "a", operations)["n"] == 1
    container.delete_item("1", "a")
    with pytest.raises(CosmosResourceNotFoundError):
        container.read_item("1", "a")


def test_batches_queries_and_throughput(container: ContainerProxy) -> None:
    results = container.execute_item_batch(
        [("create", ({"id": str(n), "cartId": "a", "n": n},)) for n in range(30)], "a"
    )
    assert {each["statusCode"] for each in results} == {201}
    query: Any = container.query_items(
        "SELECT VALUE c.n FROM c WHERE c.n > @n ORDER BY c.n DESC",
        parameters=[{"name": "@n", "value": 20}],
        enable_cross_partition_query=True,
        max_item_count=4,
    )
    assert list(query) == list(range(29, 20, -1))
    assert len(list(container.read_all_items())) == 30
    wanted: list[tuple[str, Any]] = [("1", "a"), ("2", "a")]
    assert len(container.read_items(wanted)) == 2
    assert container.get_throughput().offer_throughput == 400


def test_a_query_over_everything_must_say_so(container: ContainerProxy) -> None:
    with pytest.raises(CosmosHttpResponseError) as caught:
        list(container.query_items("SELECT * FROM c"))
    assert caught.value.status_code == 400


def test_the_feed_goes_on_after_a_split(
    container: ContainerProxy, cosmos_account: Emulator
) -> None:
    for number in range(40):
        container.create_item({"id": str(number), "cartId": f"k{number}"})
    pages: Any = container.query_items_change_feed(
        start_time="Beginning", max_item_count=3
    ).by_page()
    fed = [item["id"] for item in next(pages)]
    cosmos_account.split("shop", "cart")
    for page in pages:
        fed += [item["id"] for item in page]
    assert sorted(fed, key=int) == [str(number) for number in range(40)]
    container.create_item({"id": "late", "cartId": "late"})
    assert [item["id"] for item in next(pages)] == ["late"]


def test_feed_ranges_and_keys(container: ContainerProxy) -> None:
    container.create_item({"id": "1", "cartId": 0})
    assert len(list(container.read_feed_ranges())) == 4
    feed_range = container.feed_range_from_partition_key(0)
    fed = container.query_items_change_feed(feed_range=feed_range, start_time="Beginning")
    assert [item["id"] for item in fed] == ["1"]


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")  # what the client says to localhost
def test_https() -> None:
    with (
        Emulator(https=True) as server,
        blocking_client(server.endpoint, server.key) as client,
    ):
        client.create_database("shop")
        assert [each["id"] for each in client.list_databases()] == ["shop"]


@pytest.mark.slow
def test_the_wrong_key_is_401(cosmos_account: Emulator) -> None:
    with pytest.raises(CosmosHttpResponseError) as caught:
        CosmosClient(cosmos_account.endpoint, "b3RoZXJrZXk=")
    assert caught.value.status_code == 401
