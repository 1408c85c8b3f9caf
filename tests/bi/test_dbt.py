"""The package of `projector bi dbt` under the real dbt and the real MetricFlow, by an analyst's login."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from projector.cli.app import run_line
from tests.bi.shop import OpenShop
from tests.bi.tools import ensure_tools, run_python, said

pytestmark = pytest.mark.slow

LAG = "UPDATE projector.range_reports SET lag_seconds = {}, reported_at = now()"
DAMAGE = "UPDATE projector_g1.cart_totals SET total_quantity = total_quantity + {}"
QUERY = ["query", "--csv", "answer.csv", "--order", "item", "--group-by", "item"]
METRICS = ["--metrics", "lines,quantity,share_with_unit_price"]
DAYS = ["query", "--metrics", "daily_totals_line_count"]
BY_DAY = ["--group-by", "metric_time__day", "--order", "metric_time__day", "--csv", "days.csv"]
BY_YEAR = ["--group-by", "metric_time__year", "--order", "metric_time__year", "--csv", "years.csv"]
STEPS: Mapping[str, Mapping[str, object]] = {
    "built": {"dbt": ["--warn-error", "build"]},  # a deprecation is an error, too
    "fresh": {"dbt": ["source", "freshness"]},
    "nobody knows": {"sql": LAG.format("NULL")},
    "unknown": {"dbt": ["source", "freshness"]},
    "validated": {"mf": ["validate-configs"]},
    "queried": {"mf": [*QUERY, *METRICS]},
    "by day": {"mf": [*DAYS, *BY_DAY]},
    "by year": {"mf": [*DAYS, *BY_YEAR]},
    "damaged": {"sql": DAMAGE.format(1)},
    "tested": {"dbt": ["test", "--select", "cart_totals_is_a_recount"]},
}


Results = Mapping[str, dict[str, Any]]


# One test, since each of two workers would take all the steps for its share of several.
def test_dbt_and_metricflow_find_what_is_known_and_what_is_wrong(
    shop: OpenShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROJECTOR_DATABASE_URL", shop.url)
    found = steps_taken(shop, tmp_path)
    every_test_passes_on_a_good_copy(found["built"])
    with psycopg.connect(shop.analyst_url) as analyst:
        the_marts_say_what_is_known(analyst)
    sources_are_as_fresh_as_the_copy_says(found)
    assert found["validated"]["ok"], found["validated"]["said"]
    metricflow_answers_what_is_known(found["queried"], tmp_path / "answer.csv")
    of_several_days_the_last_one_counts(found, tmp_path)
    assert not found["tested"]["ok"]
    assert [each["failures"] for each in found["tested"]["results"]] == [7]


def steps_taken(shop: OpenShop, folder: Path) -> Results:
    """What came of each step, taken in their order on the package as the command writes it."""
    ensure_tools()
    assert run_line(["bi", "dbt", "--out", str(folder)]) == 0
    done = run_python(
        Path(__file__).with_name("dbt_session.py"),
        url=shop.analyst_url,
        folder=folder,
        told=json.dumps(list(STEPS.values())),
        OWNER_URL=shop.url,
    )
    assert done.returncode == 0, said(done)
    answers = json.loads((folder / "answers.json").read_text())
    return dict(zip(STEPS, answers, strict=True))


def every_test_passes_on_a_good_copy(built: dict[str, Any]) -> None:
    assert built["ok"], built
    assert {each["status"] for each in built["results"]} == {"success", "pass"}
    names = {each["unique_id"].split(".")[2] for each in built["results"]}
    assert {"cart_totals_is_a_recount", "item_totals_is_a_recount"} <= names


def the_marts_say_what_is_known(analyst: psycopg.Connection[Any]) -> None:
    by_item = analyst.execute(
        "SELECT item, currency, line_count, cart_count, quantity, amount"
        " FROM analytics.cart_items_by_item WHERE item = 'Dock' ORDER BY currency"
    ).fetchall()
    assert by_item == [
        ("Dock", "USD", 2, 2, Decimal(2), Decimal(398)),
        ("Dock", None, 1, 1, Decimal(2), None),
    ]
    distribution = analyst.execute(
        "SELECT cart_count, total_amount, median_total_amount, most_total_amount"
        " FROM analytics.cart_amounts_distribution WHERE currency = 'EUR'"
    ).fetchall()
    assert distribution == [(5, Decimal("4485.96"), Decimal("1088.99"), Decimal("2097.99"))]


def sources_are_as_fresh_as_the_copy_says(found: Results) -> None:
    fresh, unknown = found["fresh"], found["unknown"]
    assert fresh["ok"], fresh
    assert {each["status"] for each in fresh["results"]} == {"pass"}
    assert not unknown["ok"]
    assert {each["status"] for each in unknown["results"]} == {"error"}


def metricflow_answers_what_is_known(queried: dict[str, Any], answer: Path) -> None:
    assert queried["ok"], queried["said"]
    header, *rows = answer.read_text().splitlines()
    assert header.split(",") == ["item", "lines", "quantity", "share_with_unit_price"]
    told = [(item, *map(float, figures)) for item, *figures in (row.split(",") for row in rows)]
    assert told == [
        ("Dock", 3, 4, pytest.approx(2 / 3)),
        ("Gift card", 1, 1, 1),
        ("Keyboard", 1, 0, 1),
        ("Surface Pen", 4, 4, 1),
        ("Surface Pro", 3, 4, 1),
    ]


def of_several_days_the_last_one_counts(found: Results, folder: Path) -> None:
    assert found["by day"]["ok"], found["by day"]["said"]
    assert found["by year"]["ok"], found["by year"]["said"]
    by_day, by_year = (
        [float(row.split(",")[1]) for row in (folder / name).read_text().splitlines()[1:]]
        for name in ("days.csv", "years.csv")
    )
    assert by_day == [14, 14, 13]
    assert by_year[-1] == 13
