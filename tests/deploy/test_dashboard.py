"""Each expression of the dashboard asks for what a host exposes, by labels that it has."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.deploy.operators_files import DASHBOARD, exposed, unknown_in
from tests.deploy.promql import parsed

BOARD: dict[str, Any] = json.loads(DASHBOARD.read_text("utf-8"))
PANELS: list[dict[str, Any]] = BOARD["panels"]
KNOWN = exposed()
WIDTH = 24


def expressions() -> Iterator[tuple[str, str]]:
    for panel in PANELS:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


@pytest.mark.parametrize(("title", "expression"), list(expressions()))
def test_a_panel_asks_for_what_is_exposed(title: str, expression: str) -> None:
    node = parsed(expression.replace("$__rate_interval", "5m"))
    assert list(node.selectors()), title
    assert unknown_in(node, KNOWN) == []
    assert all(("job", "=~", "$job") in one.matchers for one in node.selectors())


@pytest.mark.parametrize(
    "panel", [p for p in PANELS if p["type"] != "row"], ids=lambda panel: str(panel["title"])
)
def test_a_legend_names_only_labels_that_are_left(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        node = parsed(target["expr"].replace("$__rate_interval", "5m"))
        while node.kind == "function":
            node = node.operands[-1]
        left = set(node.labels) if node.kind == "aggregation" else {"instance", "job"}
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= left
    assert panel["description"], "a panel says what to make of it"


def test_counters_are_shown_as_rates_alone() -> None:
    for title, expression in expressions():
        bare = re.sub(r"(rate|increase)\([^)]*\)", "", expression)
        assert re.findall(r"\w+_total", bare) == [], title


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    assert max(Counter(panel["id"] for panel in PANELS).values()) == 1
    taken: Counter[tuple[int, int]] = Counter()
    for panel in PANELS:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= WIDTH
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                taken[x, y] += 1
    assert max(taken.values()) == 1


def test_the_board_asks_no_data_source_but_the_chosen_one() -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    assert all(p["datasource"] == chosen for p in PANELS if p["type"] != "row")
    assert [each["name"] for each in BOARD["templating"]["list"]] == ["datasource", "job"]


def test_what_a_person_on_call_asks_first_is_at_the_top() -> None:
    titles = [panel["title"] for panel in sorted(PANELS, key=lambda p: p["gridPos"]["y"])]
    assert titles[:3] == [
        "Is the copy current and complete?",
        "Can the copy be believed?",
        "Oldest rows",
    ]
