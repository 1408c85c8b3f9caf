"""What totals are made of, as SQL, and which totals no table can hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from projector.postgres import generation
from projector.projection.carts import CARTS
from projector.projection.definition import Definition, Field, Group, Kind, Total

PER_CART, PER_ITEM = CARTS.totals
assert PER_CART.bucket is not None
BY_ITEM = replace(PER_CART.bucket, by="item", view="other_amounts", per_day="")


def field(name: str, kind: Kind, *, optional: bool = False) -> Field:
    return Field(name=name, column=name, kind=kind, optional=optional, comment=name)


def by(column: str, **choices: Any) -> Total:
    group = Group(column=column, of=column, comment="", per_day=choices.pop("per_day", False))
    return replace(PER_ITEM, name="others", per_day="", by=(group,), **choices)


def carts_with(total: Total, *fields: Field) -> Definition:
    return replace(CARTS, fields=(*CARTS.fields, *fields), totals=(*CARTS.totals, total))


WHEN, MAYBE = field("since", Kind.TIME), field("since", Kind.TIME, optional=True)


@pytest.mark.parametrize(
    ("given", "stored", "shown"),
    [
        (carts_with(by("item")), "t.item", "x.item"),
        (carts_with(by("currency")), "COALESCE(t.currency, '')", "NULLIF(x.currency, '')"),
        (carts_with(by("unit_price")), "COALESCE(t.unit_price, 'NaN')", "NULLIF(x.unit_price, 'NaN')"),
        (carts_with(by("since", per_day=True), WHEN), "(t.since AT TIME ZONE 'UTC')::date", "x.since"),
        (
            carts_with(by("since", per_day=True), MAYBE),
            "COALESCE((t.since AT TIME ZONE 'UTC')::date, '-infinity')",
            "NULLIF(x.since, '-infinity')",
        ),
    ],
)  # fmt: skip
def test_a_group_without_a_value_is_stored_as_one_that_no_row_has(
    given: Definition, stored: str, shown: str
) -> None:
    (group,) = given.totals[-1].by
    assert generation.group_of(given, group, "t.") == stored
    assert generation.shown_group(given, group, "x.") == shown


def test_the_key_of_a_total_is_its_groups_and_its_bucket() -> None:
    assert generation.keys_of(CARTS, PER_CART, "new.") == [
        ("cart_id", "new.cart_id"),
        (
            "bucket",
            "CASE WHEN new.unit_price IS NULL THEN '' ELSE COALESCE(new.currency, '-') END",
        ),
    ]
    assert generation.key_columns(PER_CART) == ["cart_id", "bucket"]
    assert generation.key_columns(PER_ITEM) == ["item"]


def test_former_values_are_kept_of_what_totals_are_made_of() -> None:
    assert generation.previous_columns(CARTS) == ["item", "quantity", "unit_price", "currency"]
    assert generation.keeps_last_change(CARTS)
    narrow = replace(CARTS, totals=(PER_ITEM,))
    assert generation.previous_columns(narrow) == ["item", "quantity"]
    assert not generation.keeps_last_change(narrow)


@pytest.mark.parametrize(
    ("total", "fields", "problem"),
    [
        (by("open"), (field("open", Kind.BOOLEAN, optional=True),), "boolean that may be absent"),
        (by("item", keeps_last_change=True), (), "not by the key first"),
        (by("item", row_count="item"), (), "a column twice"),
        (by("item", row_count="bucket"), (), "a column twice, or one of the storage's own"),
        (replace(PER_CART, name="others", per_day="", bucket=BY_ITEM), (), "no code"),
    ],
)  # fmt: skip
def test_a_total_that_no_table_can_hold_is_refused(
    total: Total, fields: tuple[Field, ...], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        carts_with(total, *fields)
