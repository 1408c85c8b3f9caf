"""The dbt package says what the views say, for any definition, in YAML that people read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from projector.bi.package import files_of
from projector.bi.yaml import yaml_text
from projector.postgres.generation import FIRST_GENERATION, Generation
from projector.postgres.views import views_of
from tests.orders import FIRST_ORDERS

GENERATIONS = pytest.mark.parametrize(
    "generation", [FIRST_GENERATION, FIRST_ORDERS], ids=lambda each: each.definition.name
)
SCALARS = st.one_of(
    st.integers(), st.booleans(), st.none(), st.text(st.characters(codec="utf-8")), st.just("yes")
)
NAMES = st.text("abc_xyz no", min_size=1)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner), max_leaves=20
)


@given(st.dictionaries(NAMES, VALUES, min_size=1))
def test_what_is_written_reads_as_it_was(document: dict[str, Any]) -> None:
    assert yaml.safe_load(yaml_text(document)) == document


def source(generation: Generation) -> dict[str, Any]:
    [found] = yaml.safe_load(files_of(generation)["models/sources.yml"])["sources"]
    described: dict[str, Any] = found
    return described


@GENERATIONS
def test_each_view_is_a_source_that_says_what_the_view_says(generation: Generation) -> None:
    tables = {table["name"]: table for table in source(generation)["tables"]}
    views = views_of(generation)
    assert list(tables) == [view.name for view in views]
    for view in views:
        assert tables[view.name]["description"] == view.comment
        told = {one["name"]: one["description"] for one in tables[view.name]["columns"]}
        assert told == dict(view.columns)
        never_missing = {
            one["name"]
            for one in tables[view.name]["columns"]
            if "not_null" in one.get("data_tests", ())
        }
        assert never_missing == set(view.columns) - view.optional


@GENERATIONS
def test_what_tells_rows_apart_is_tested(generation: Generation) -> None:
    for table, view in zip(source(generation)["tables"], views_of(generation), strict=True):
        columns = {one["name"]: one.get("data_tests", []) for one in table["columns"]}
        if len(view.key) == 1:
            assert "unique" in columns[view.key[0]]
        else:
            [test] = table["data_tests"]
            assert test["unique_together"]["arguments"]["columns"] == list(view.key)


@GENERATIONS
def test_every_model_and_measure_that_is_named_is_there(generation: Generation) -> None:
    files = files_of(generation)
    models = {Path(name).stem for name in files if name.endswith(".sql") and "models" in name}
    told = yaml.safe_load(files["models/semantic_models.yml"])
    measures = [each["name"] for one in told["semantic_models"] for each in one["measures"]]
    assert {one["model"] for one in told["semantic_models"]} <= {f"ref('{m}')" for m in models}
    assert len(measures) == len(set(measures))
    metrics = {each["name"] for each in told["metrics"]}
    assert set(measures) <= metrics
    described = {one["name"] for one in yaml.safe_load(files["models/models.yml"])["models"]}
    assert described <= models
    assert all(text.endswith("\n") for text in files.values())


def test_a_description_is_no_expression_of_dbt() -> None:
    assert "{{" not in yaml_text({"sources": [source(FIRST_GENERATION)["tables"]]})
