"""A definition that no table can be made of is refused with one line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from projector.projection.carts import CARTS
from projector.projection.definition import Definition, Field, Group, Kind, Product, Sum
from tests.orders import ORDERS

CART_TOTALS, ITEM_TOTALS = CARTS.totals


def with_field(**changes: object) -> Definition:
    """Carts with another first field."""
    changed = replace(CARTS.fields[0], **changes)  # type: ignore[arg-type]  # what the cases say
    return replace(CARTS, fields=(changed, *CARTS.fields[1:]))


WRONG: dict[str, Callable[[], object]] = {
    "named twice, or as one of the service's own": lambda: with_field(name="quantity"),
    "or as one of the service's own": lambda: with_field(name="ttl"),
    "column is named twice": lambda: with_field(column="quantity"),
    "table is named twice": lambda: replace(CARTS, rows="cart_totals"),
    "'Item' is no plain lower-case SQL name": lambda: with_field(column="Item"),
    "'lsn' is taken by the storage": lambda: with_field(column="lsn"),
    "'p_item' is taken by the storage": lambda: with_field(column="p_item"),
    "key has to be a text": lambda: replace(CARTS, key=replace(CARTS.key, optional=True)),
    "a pattern belongs to codes": lambda: with_field(pattern="[a-z]"),
    "only numbers may come quoted": lambda: with_field(quoted=True),
    "amount multiplies what is no number": lambda: replace(
        CARTS, products=(Product(column="amount", factors=("item", "quantity"), comment=""),)
    ),
    "is by what is no column": lambda: replace(
        CARTS, totals=(replace(ITEM_TOTALS, by=(Group(column="x", of="x", comment=""),)),)
    ),
    "by the day of what is no time": lambda: replace(
        CARTS,
        totals=(
            replace(ITEM_TOTALS, by=(Group(column="x", of="item", comment="", per_day=True),)),
        ),
    ),
    "sums up what is no number": lambda: replace(
        CARTS, totals=(replace(ITEM_TOTALS, sums=(Sum(column="x", of="item", comment=""),)),)
    ),
    "has sums per bucket, and no buckets": lambda: replace(
        CARTS, totals=(replace(CART_TOTALS, bucket=None),)
    ),
    "has buckets by what is no column": lambda: replace(
        CARTS,
        totals=(replace(CART_TOTALS, bucket=replace(CART_TOTALS.bucket, by="colour")),),  # type: ignore[type-var]  # it has one
    ),
    "by a boolean that may be absent": lambda: replace(
        ORDERS,
        totals=(replace(ORDERS.totals[1], by=(Group(column="paid", of="paid", comment=""),)),),
    ),
    "keeps its last change, and is not by the key": lambda: replace(
        CARTS, totals=(replace(ITEM_TOTALS, keeps_last_change=True),)
    ),
}


@pytest.mark.parametrize("told", WRONG)
def test_what_cannot_be_stored_is_refused(told: str) -> None:
    with pytest.raises(ValueError, match=r"^projection '(carts|orders)': .*") as caught:
        WRONG[told]()
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_definition_is_a_plain_value() -> None:
    assert {CARTS: 1}[replace(CARTS)] == 1
    assert {kind.value for kind in Kind} == {"text", "code", "number", "time", "boolean"}


def test_what_follows_from_it() -> None:
    assert CARTS.key_path == "/cartId"
    assert CARTS.field_names == ("id", "cartId", "item", "quantity", "price", "currency")
    assert CARTS.is_nullable("amount")
    assert not ORDERS.is_nullable("value")
    assert ORDERS.field_of("placed_at").reason == "bad_placed_at"
    assert Field(name="aB", column="a_b", kind=Kind.TEXT, comment="").reason == "bad_a_b"
