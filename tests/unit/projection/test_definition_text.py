"""A definition comes back from its JSON as it was, and one of a newer program is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from projector.projection.carts import CARTS
from projector.projection.definition import CONTROL_TABLES, Definition
from projector.projection.definition_text import (
    definition_from_json,
    definition_hash,
    definition_to_json,
)
from tests.orders import ORDERS


@pytest.mark.parametrize("definition", [CARTS, ORDERS], ids=lambda one: one.name)
def test_a_definition_comes_back_as_it_was(definition: Definition) -> None:
    told = definition_to_json(definition)
    assert definition_from_json(told) == definition
    assert definition_from_json(told.encode()) == definition
    shuffled = json.loads(json.dumps(json.loads(told), sort_keys=True))  # as jsonb tells it
    assert definition_from_json(shuffled) == definition
    assert definition_hash(definition_from_json(shuffled)) == definition_hash(definition)


def test_what_has_its_default_is_not_told() -> None:
    item = json.loads(definition_to_json(CARTS))["fields"][0]
    assert item == {
        "name": "item",
        "column": "item",
        "kind": "text",
        "comment": "Name of the article.",
    }


def test_two_definitions_have_two_hashes() -> None:
    assert definition_hash(CARTS) != definition_hash(replace(CARTS, noun="basket"))


@pytest.mark.parametrize("place", ["definition", "definition.fields[1]", "definition.key"])
def test_what_only_a_newer_program_knows_is_refused(place: str) -> None:
    told = json.loads(definition_to_json(CARTS))
    part = {"definition": told, "definition.fields[1]": told["fields"][1]}.get(place, told["key"])
    part["rounded"] = True
    with pytest.raises(ValueError, match="a newer program, which knows") as caught:
        definition_from_json(told)
    assert f"{place}.rounded" in str(caught.value)


def test_what_is_no_definition_is_refused_with_its_place() -> None:
    told = json.loads(definition_to_json(CARTS))
    told["fields"][2]["kind"] = "colour"
    with pytest.raises(ValueError, match=r"another program: .*\$.fields\[2\].kind"):
        definition_from_json(told)


@pytest.mark.parametrize("name", [*CONTROL_TABLES, "ranges_by_day"])
def test_names_of_control_tables_are_not_for_rows(name: str) -> None:
    with pytest.raises(ValueError, match="is taken by the storage itself"):
        replace(CARTS, rows=name)
