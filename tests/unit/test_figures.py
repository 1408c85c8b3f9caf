"""The script behind `make figures`, and the finder of cart names that other tests rely on."""

from __future__ import annotations

import ast
from pathlib import Path

from tests import cart_names, figures


def test_names_are_found_where_they_can_only_be_meant() -> None:
    tree = ast.parse(
        '"""About an item and its cart_id."""\n'
        "def f(cart_id):\n"
        '    """The quantity."""\n'
        '    say("no item was found", currency=1)\n'
        '    return row.unit_price, "SELECT quantity FROM rows", "price"\n'
    )
    found = cart_names.names_in(tree) & cart_names.column_names()
    assert found == {"cart_id", "currency", "unit_price", "quantity", "price"}


def test_a_text_that_is_put_together_counts_as_one() -> None:
    tree = ast.parse('sql = f"SELECT {a}, item FROM {b}"\nplain = f"one {a} more item"\n')
    assert "item" in cart_names.names_in(tree)
    plain = ast.parse('plain = f"one {a} more item"\n')
    assert "item" not in cart_names.names_in(plain)


def test_the_definition_itself_and_the_demo_may_name_them() -> None:
    assert not [name for name in cart_names.offenders() if name.startswith(cart_names.ALLOWED)]
    assert {"cartId", "unit_price", "amount", "cart_items"} <= cart_names.column_names()
    assert {"cart_amounts", "item_totals", "line_count"} <= cart_names.total_names()


def test_steps_of_a_page_are_counted_from_the_page_about_it(tmp_path: Path) -> None:
    way = tmp_path / "way.md"
    way.write_text(
        "1. `cosmos/change_source.py`: `CosmosChangeSource.read_page` asks\n"
        "2. `cosmos/change_source.py` `_page()` takes it\n"
        "No step: `page.body`.\n"
    )
    assert figures.frames(way) == [
        ("cosmos/change_source.py", "CosmosChangeSource.read_page"),
        ("cosmos/change_source.py", "_page"),
    ]
    assert figures.frames(tmp_path / "none.md") == ()


def test_every_measure_has_its_line_and_a_goal() -> None:
    told = list(figures.report())
    assert [line for line in told if line.startswith("lines per product module")]
    assert sum("<=" in line or ">=" in line for line in told) == 3
