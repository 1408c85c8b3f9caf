"""Totals in a batch: their order, and the names of what they have to know of a row."""

from __future__ import annotations

from dataclasses import replace

from projector.postgres.deltas import delta_statements, image, in_locking_order
from projector.postgres.generation import Generation
from projector.projection.carts import CARTS
from projector.projection.definition import Field, Kind
from tests.orders import FIRST_ORDERS, ORDERS


def test_totals_of_single_keys_are_locked_before_those_that_ranges_share() -> None:
    turned = replace(CARTS, totals=CARTS.totals[::-1])
    names = [total.name for total in in_locking_order(turned)]
    assert names == ["cart_totals", "item_totals"]
    assert [one.name for one in in_locking_order(ORDERS)] == [one.name for one in ORDERS.totals]


def test_each_total_waits_for_the_one_before() -> None:
    names, texts = zip(*delta_statements(FIRST_ORDERS), strict=True)
    assert "count(*)" not in texts[0]
    for before, text in zip(names, texts[1:], strict=False):
        assert f"WHERE (SELECT count(*) FROM {before}) >= 0" in text
    assert [text.endswith("\nRETURNING 1") for text in texts] == [True, True, False]


def test_a_definition_without_totals_has_no_deltas() -> None:
    bare = Generation(definition=replace(CARTS, totals=()), schema="projector_bare")
    assert list(delta_statements(bare)) == []
    assert list(image(bare.definition, "n_", "new.")) == []


def test_what_totals_have_to_know_has_one_name_each() -> None:
    day = "(new.placed_at AT TIME ZONE 'UTC')::date"
    assert list(image(ORDERS, "n_", "new.")) == [
        "new.status AS n_status",
        f"{day} AS n_placed_at_day",
        "new.units * new.price AS n_value",
        "new.weight AS n_weight",
        "new.units AS n_units",
    ]


def test_names_that_would_meet_are_told_apart() -> None:
    number = Field(name="d", column="placed_at_day", kind=Kind.NUMBER, comment="A number.")
    per_status = ORDERS.totals[1]
    summed = replace(per_status.sums[0], column="days", of="placed_at_day")
    crowded = replace(
        ORDERS,
        fields=(*ORDERS.fields, number),
        totals=(replace(per_status, sums=(summed,)), *ORDERS.totals[2:]),
    )
    names = [text.split(" AS ")[-1] for text in image(crowded, "o_", "old.")]
    assert names == ["o_status", "o_placed_at_day", "o_placed_at_day_", "o_value"]
