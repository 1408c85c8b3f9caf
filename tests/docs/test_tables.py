"""The page of the views says what the views say of themselves, and what the definition makes of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from projector.postgres.generation import FIRST_GENERATION
from projector.postgres.templates import View
from projector.postgres.views import views_of

PAGE = Path(__file__).parents[2] / "docs/reference/tables.md"
CARTS = FIRST_GENERATION.definition
NAMES = {"timestamp with time zone": "timestamptz"}
WITHOUT_VALUE = {
    "cart_items": {"unit_price", "currency", "amount"},
    "cart_totals": {"total_amount", "currency"},
    "cart_amounts": {"currency"},
    "item_totals": set[str](),
}
ROW = re.compile(r"^\| `(\w+)` \| ([a-z ]+) \| (.*) \|$", re.MULTILINE)


class Told(NamedTuple):
    column: str
    type: str
    meaning: str


def section(view: View) -> str:
    text = PAGE.read_text()
    start = text.index(f"\n## {CARTS.schema}.{view.name}\n")
    return text[start : text.index("\n## ", start + 1)]


def told(view: View) -> list[Told]:
    return [Told(*found) for found in ROW.findall(section(view))]


def test_the_definition_tells_which_columns_may_be_without_a_value() -> None:
    found = {view.name: set(view.optional) for view in views_of(FIRST_GENERATION)}
    assert {name: found[name] for name in WITHOUT_VALUE} == WITHOUT_VALUE


@pytest.mark.parametrize("view", views_of(FIRST_GENERATION), ids=lambda view: view.name)
def test_the_page_has_the_columns_types_and_comments_of_each_view(
    view: View, database_url: str
) -> None:
    with psycopg.connect(database_url) as connection:
        columns = connection.execute(
            "SELECT column_name, data_type FROM information_schema.columns"
            " WHERE (table_schema, table_name) = (%s, %s) ORDER BY ordinal_position",
            [CARTS.schema, view.name],
        ).fetchall()
    found = told(view)
    assert [(one.column, one.type) for one in found] == [
        (name, NAMES.get(type_, type_)) for name, type_ in columns
    ]
    if view.name not in WITHOUT_VALUE:
        return  # freshness is the same for every definition; the page says more of it
    for one in found:
        assert one.meaning.startswith(view.columns[one.column]), one.column
        assert ("NULL" in one.meaning) == (one.column in WITHOUT_VALUE[view.name]), one.column
    assert view.comment in " ".join(section(view).split())
