"""What Grafana and Metabase show is asked of the shop, and the answers are those that are known."""

from __future__ import annotations

import json
import re
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
from jsonschema import Draft202012Validator

from tests.bi.shop import OpenShop
from tests.bi.test_cookbook import told

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
GRAFANA: dict[str, Any] = json.loads((ROOT / "deploy/grafana/carts.json").read_text("utf-8"))
METABASE: dict[str, Any] = json.loads((ROOT / "deploy/metabase/carts.json").read_text("utf-8"))
PANELS: list[dict[str, Any]] = [each for each in GRAFANA["panels"] if each["type"] != "row"]
SCHEMAS: dict[str, Any] = json.loads((HERE / "boards.schema.json").read_text("utf-8"))
TIME_FILTER = re.compile(r"\$__timeFilter\((\w+)\)")
WIDTH = 24

Answers = Mapping[str, list[tuple[str, ...]]]
KNOWN: Answers = {
    "Carts": [("7",)],
    "Carts changed in the last hour": [("1",)],
    "Value in carts, by currency": [
        ("EUR", "5", "4485.96", "1088.99", "2097.99"),
        ("USD", "2", "398", "199", "199"),
        ("not told", "1", "50", "50", "50"),
    ],
    "Carts by value": [("below 50", "1"), ("250 to 499", "1"), ("1000 and more", "3")],
    "Carts by age": [
        ("today", "2"),
        ("this week", "2"),
        ("this month", "2"),
        ("this quarter", "1"),
    ],
    "Items in most lines": [
        ("Surface Pen", "4"),
        ("Dock", "3"),
        ("Surface Pro", "3"),
        ("Gift card", "1"),
        ("Keyboard", "1"),
    ],
    "Revenue in carts by item": [
        ("Surface Pro", "4", "4096", "3"),
        ("Surface Pen", "4", "389.96", "4"),
        ("Keyboard", "0", "0", "1"),
    ],
    "Carts abandoned lately": [
        ("789", "1099", "EUR", "Surface Pro", "10"),
        ("987", "50", "-", "Gift card", "2"),
        ("111", "-99.99", "EUR", "Surface Pen", "20"),
        ("321", "-", "-", "Dock", "40"),
        ("456", "-", "-", "Surface Pen", "3"),
    ],
}
"""Title, up to a comma before a currency -> rows. Others are a number that is looked at apart."""


def as_typed(sql: str) -> str:
    """A panel's query with what Grafana would put in."""
    sql = TIME_FILTER.sub(r"\1 BETWEEN now() - interval '7 days' AND now()", sql)
    return sql.replace("${currency:sqlstring}", "'EUR'")


def queries() -> Iterator[tuple[str, str]]:
    for panel in PANELS:
        [target] = panel["targets"]
        yield panel["title"], as_typed(target["rawSql"])
    for card in METABASE["cards"]:
        yield card["name"], card["query"]


@pytest.fixture(scope="module")
def asked(shop: OpenShop) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(shop.analyst_url, autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize(("title", "sql"), list(queries()))
def test_a_panel_shows_what_is_known(title: str, sql: str, asked: psycopg.Connection[Any]) -> None:
    found = [tuple(map(told, row)) for row in asked.execute(sql.encode())]
    name = re.sub(r"(, in (\$currency|EUR)| \(s\))$", "", title)
    if name == "The copy may be behind by":
        assert 2 <= float(found[0][0]) < 300
    elif name == "Lines without a price":
        assert float(found[0][0]) == pytest.approx(1 / 12)
    elif name == "Carts by hour of their last change":
        assert sum(int(carts) for _hour, carts in found) == 4
    elif name == "Carts at the end of each day":
        assert [carts for _day, carts in found] == ["7", "7", "7"]
    elif name == "Lines removed per day, by cause":
        assert [row[1:] for row in found] == [("marker", "1"), ("marker", "1")]
    else:
        assert found == KNOWN[name]


def test_a_stat_shows_one_value_and_a_plot_its_category_first() -> None:
    for panel in PANELS:
        [target] = panel["targets"]
        x_field = panel["options"].get("xField")
        assert x_field is None or target["rawSql"].index(f'AS "{x_field}"') > 0
        assert (panel["type"] == "timeseries") == (target["format"] == "time_series")


@pytest.mark.parametrize("name", ["grafana", "metabase"])
def test_the_files_have_the_shape_that_the_tools_read(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])
    Draft202012Validator(SCHEMAS[name]).validate({"grafana": GRAFANA, "metabase": METABASE}[name])


@pytest.mark.parametrize(
    "places",
    [
        [(p["gridPos"]["x"], p["gridPos"]["y"], p["gridPos"]["w"], p["gridPos"]["h"]) for p in GRAFANA["panels"]],
        [(c["place"]["col"], c["place"]["row"], c["place"]["size_x"], c["place"]["size_y"]) for c in METABASE["cards"]],
    ],
    ids=["grafana", "metabase"],
)  # fmt: skip
def test_panels_do_not_overlap(places: list[tuple[int, int, int, int]]) -> None:
    taken = Counter(
        (column, row)
        for x, y, width, height in places
        for column in range(x, x + width)
        for row in range(y, y + height)
    )
    assert max(taken.values()) == 1
    assert max(column for column, _ in taken) < WIDTH


def test_the_board_asks_no_data_source_but_the_chosen_one() -> None:
    chosen = {"type": "grafana-postgresql-datasource", "uid": "${datasource}"}
    assert all(panel["datasource"] == chosen for panel in PANELS)
    assert all(each["datasource"] == chosen for p in PANELS for each in p["targets"])
    variables = {each["name"]: each for each in GRAFANA["templating"]["list"]}
    assert variables["datasource"]["query"] == chosen["type"]
    assert len({panel["id"] for panel in GRAFANA["panels"]}) == len(GRAFANA["panels"])


def test_the_currencies_to_choose_from_are_those_of_the_carts(
    asked: psycopg.Connection[Any],
) -> None:
    [currency] = [each for each in GRAFANA["templating"]["list"] if each["name"] == "currency"]
    assert asked.execute(currency["query"]).fetchall() == [("EUR",), ("USD",)]


def test_the_login_of_the_demo_reads_the_views_and_may_be_made_twice(shop: OpenShop) -> None:
    name = f"analyst_{secrets.token_hex(4)}"
    script = (ROOT / "deploy/compose/analyst.sql").read_text("utf-8")
    script = script.replace("'analyst'", f"'{name}'").replace("analyst;", f"{name};")
    script = script.replace("ROLE analyst ", f"ROLE {name} ").replace("analytics", f"of_{name}")
    with psycopg.connect(shop.url, autocommit=True) as owner:
        try:
            owner.execute(script.encode())
            owner.execute(script.encode())
            owner.execute(f"SET ROLE {name}".encode())
            assert owner.execute("SELECT count(*) FROM carts.cart_totals").fetchone() == (7,)
            owner.execute(f"CREATE TABLE of_{name}.mine ()".encode())
        finally:
            owner.execute("RESET ROLE")
            owner.execute(f"DROP OWNED BY {name} CASCADE".encode())
            owner.execute(f"DROP ROLE {name}".encode())
