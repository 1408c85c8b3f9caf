from __future__ import annotations

from typing import Any

import pytest

from cosmos_emulator.epk import UNDEFINED
from cosmos_emulator.errors import EmulatorError
from cosmos_emulator.keys import key_from, parse_definition, parse_key


@pytest.mark.parametrize(
    ("header", "key"),
    [
        pytest.param('["a"]', ("a",), id="string"),
        pytest.param("[1.5]", (1.5,), id="number"),
        pytest.param("[true]", (True,), id="boolean"),
        pytest.param("[null]", (None,), id="null"),
        pytest.param("[{}]", (UNDEFINED,), id="undefined"),
        pytest.param('["a", 1]', ("a", 1), id="hierarchical"),
        pytest.param('["\\u00e9"]', ("é",), id="escaped"),
    ],
)
def test_a_header_is_read_as_the_client_writes_it(header: str, key: tuple[Any, ...]) -> None:
    assert parse_key(header) == key


@pytest.mark.parametrize("header", ["", "a", "{}", '"a"', '[{"x":1}]', "[[1]]", "[1e999]"])
def test_a_malformed_header_is_refused(header: str) -> None:
    with pytest.raises(EmulatorError) as caught:
        parse_key(header)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("document", "key"),
    [
        pytest.param({"a": {"b": "x"}}, ("x",), id="nested"),
        pytest.param({"a": {}}, (UNDEFINED,), id="missing leaf"),
        pytest.param({"a": 1}, (UNDEFINED,), id="no object on the way"),
        pytest.param({"a": {"b": None}}, (None,), id="null"),
        pytest.param({"a": {"b": {}}}, (UNDEFINED,), id="empty object"),
    ],
)
def test_a_key_is_found_at_its_path(document: dict[str, Any], key: tuple[Any, ...]) -> None:
    assert parse_definition({"paths": ["/a/b"]}).key_of(document) == key


def test_a_quoted_path_names_a_property_with_its_spaces() -> None:
    assert parse_definition({"paths": ['/"a b"']}).key_of({"a b": "x"}) == ("x",)


def test_a_list_is_no_key() -> None:
    with pytest.raises(EmulatorError):
        parse_definition({"paths": ["/a"]}).key_of({"a": [1]})


@pytest.mark.parametrize(
    "definition",
    [
        pytest.param(None, id="absent"),
        pytest.param({}, id="no paths"),
        pytest.param({"paths": []}, id="empty"),
        pytest.param({"paths": ["a"]}, id="no slash"),
        pytest.param({"paths": ["/a", "/b"]}, id="hash of two"),
        pytest.param({"paths": ["/a"], "kind": "Range"}, id="kind"),
        pytest.param({"paths": ["/a"], "version": 3}, id="version 3"),
        pytest.param({"paths": ["/a"], "version": [1]}, id="no version at all"),
        pytest.param({"paths": ["/a"], "version": 1, "kind": "MultiHash"}, id="version 1 of many"),
        pytest.param({"paths": ["/a"] * 4, "kind": "MultiHash"}, id="four levels"),
    ],
)
def test_a_definition_that_cannot_be_hashed_is_refused(definition: object) -> None:
    with pytest.raises(EmulatorError) as caught:
        parse_definition(definition)
    assert caught.value.status == 400


def test_the_first_levels_of_a_key_select_a_range_and_all_of_them_a_point() -> None:
    definition = parse_definition({"paths": ["/a", "/b"], "kind": "MultiHash"})
    full = definition.epk_of(("a", 1))
    low, high = definition.epk_range(("a",))
    assert low <= full < high
    low, high = definition.epk_range(("a", 1))
    assert low <= full < high
    assert not low <= definition.epk_of(("a", 2)) < high


def test_a_key_with_too_few_levels_names_no_item() -> None:
    definition = parse_definition({"paths": ["/a", "/b"], "kind": "MultiHash"})
    with pytest.raises(EmulatorError):
        definition.epk_of(key_from("a"))


def test_pointers_escape_what_json_pointers_escape() -> None:
    assert parse_definition({"paths": ["/a~b/c"]}).pointers == ["/a~0b/c"]
