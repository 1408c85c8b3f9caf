"""Patches as azure-cosmos sends them, blocking and asynchronous."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from azure.cosmos import ContainerProxy, DatabaseProxy, PartitionKey
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosBatchOperationError,
    CosmosHttpResponseError,
)

from tests.emulator.queries.carts import CARTS, Cart, plain


@pytest.fixture
def patched(database: DatabaseProxy) -> tuple[ContainerProxy, Cart]:
    """A container for patches and a new cart in it."""
    container = database.create_container_if_not_exists("patched", PartitionKey(path="/cartId"))
    cart = {**CARTS[1], "id": str(uuid.uuid4())}
    container.create_item(cart)
    return container, cart


OPERATIONS: list[dict[str, Any]] = [
    {"op": "add", "path": "/colour", "value": "blue"},
    {"op": "set", "path": "/quantity", "value": 5},
    {"op": "incr", "path": "/quantity", "value": 2},
    {"op": "replace", "path": "/item", "value": "Pen"},
    {"op": "add", "path": "/tags/-", "value": "last"},
    {"op": "add", "path": "/tags/0", "value": "first"},
    {"op": "remove", "path": "/price"},
    {"op": "move", "from": "/size/w", "path": "/width"},
    {"op": "set", "path": "/a~1b", "value": None},
]


def after_operations(cart: Cart) -> Cart:
    kept = {name: value for name, value in cart.items() if name != "price"}
    return kept | {
        "colour": "blue",
        "quantity": 7,
        "item": "Pen",
        "tags": ["first", *cart["tags"], "last"],
        "size": {"h": cart["size"]["h"]},
        "width": cart["size"]["w"],
        "a/b": None,
    }


def test_patch(patched: tuple[ContainerProxy, Cart]) -> None:
    container, cart = patched
    before = container.read_item(cart["id"], cart["cartId"])
    answer = container.patch_item(cart["id"], cart["cartId"], OPERATIONS)
    assert plain(answer) == after_operations(cart)
    stored = container.read_item(cart["id"], cart["cartId"])
    assert stored == answer
    assert stored["_etag"] != before["_etag"]
    assert stored["_rid"] == before["_rid"]


def test_a_patch_applies_on_its_condition_only(patched: tuple[ContainerProxy, Cart]) -> None:
    container, cart = patched
    more = [{"op": "incr", "path": "/quantity", "value": 1}]
    key = cart["id"], cart["cartId"]
    met = f"from c where c.quantity = {cart['quantity']}"
    answer = container.patch_item(*key, more, filter_predicate=met)
    assert answer["quantity"] == cart["quantity"] + 1
    with pytest.raises(CosmosAccessConditionFailedError):
        container.patch_item(*key, more, filter_predicate=met)
    with pytest.raises(CosmosHttpResponseError) as refusal:
        container.patch_item(*key, more, filter_predicate="from c where")
    assert refusal.value.status_code == 400
    assert container.read_item(*key)["quantity"] == cart["quantity"] + 1


@pytest.mark.parametrize(
    "operations",
    [
        pytest.param([{"op": "set", "path": "/cartId", "value": "x"}], id="partition key"),
        pytest.param(
            [
                {"op": "set", "path": "/quantity", "value": 99},
                {"op": "remove", "path": "/none"},
            ],
            id="all or nothing",
        ),
    ],
)
def test_a_refused_patch_changes_nothing(
    patched: tuple[ContainerProxy, Cart], operations: list[dict[str, Any]]
) -> None:
    container, cart = patched
    before = container.read_item(cart["id"], cart["cartId"])
    with pytest.raises(CosmosHttpResponseError) as refusal:
        container.patch_item(cart["id"], cart["cartId"], operations)
    assert refusal.value.status_code == 400
    assert container.read_item(cart["id"], cart["cartId"]) == before


def test_patches_in_a_batch_stand_and_fall_together(
    patched: tuple[ContainerProxy, Cart],
) -> None:
    container, cart = patched
    more = [{"op": "incr", "path": "/quantity", "value": 1}]
    results = container.execute_item_batch(
        [("patch", (cart["id"], more)), ("read", (cart["id"],))], cart["cartId"]
    )
    assert results[1]["resourceBody"]["quantity"] == cart["quantity"] + 1
    bad = [{"op": "remove", "path": "/none"}]
    with pytest.raises(CosmosBatchOperationError) as refusal:
        container.execute_item_batch(
            [("patch", (cart["id"], more)), ("patch", (cart["id"], bad))], cart["cartId"]
        )
    assert refusal.value.error_index == 1
    assert container.read_item(cart["id"], cart["cartId"])["quantity"] == cart["quantity"] + 1
