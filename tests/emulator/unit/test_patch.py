"""Patch operations: what each does to a document, and what the service refuses."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosmos_emulator.patch import SYSTEM_PROPERTIES, PatchError, apply_patch, condition_holds

DOCUMENT: dict[str, Any] = {
    "id": "1",
    "cartId": "a",
    "quantity": 2,
    "price": 0.5,
    "note": None,
    "tags": ["x", "y"],
    "inner": {"n": 1, "list": [{"k": 1}]},
    "a/b": 1,
    "m~n": 2,
    "-": "dash",
    "0": "zero",
}


def changed(**properties: Any) -> dict[str, Any]:
    """The document with other properties; `...` removes one."""
    merged = {**DOCUMENT, **properties}
    return {key: value for key, value in merged.items() if value is not ...}


def op(name: str, path: str, *value: Any) -> dict[str, Any]:
    return {"op": name, "path": path} | ({"value": value[0]} if value else {})


def move(source: str, path: str) -> dict[str, Any]:
    return {"op": "move", "from": source, "path": path}


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        pytest.param([op("add", "/new", 1)], changed(new=1), id="add"),
        pytest.param([op("add", "/new", None)], changed(new=None), id="add null"),
        pytest.param([op("add", "/quantity", 9)], changed(quantity=9), id="add replaces"),
        pytest.param([op("add", "/tags/1", "z")], changed(tags=["x", "z", "y"]), id="add inserts"),
        pytest.param([op("add", "/tags/2", "z")], changed(tags=["x", "y", "z"]), id="add at the end"),
        pytest.param([op("add", "/tags/-", "z")], changed(tags=["x", "y", "z"]), id="add appends"),
        pytest.param([op("add", "/inner/m", 1)], changed(inner={**DOCUMENT["inner"], "m": 1}), id="add inside"),
        pytest.param([op("add", "/inner/list/0/k", 2)], changed(inner={"n": 1, "list": [{"k": 2}]}), id="add through an array"),
        pytest.param([op("set", "/new", [1])], changed(new=[1]), id="set"),
        pytest.param([op("set", "/quantity", "two")], changed(quantity="two"), id="set replaces"),
        pytest.param([op("set", "/tags/0", "z")], changed(tags=["z", "y"]), id="set overwrites an element"),
        pytest.param([op("set", "/tags/-", "z")], changed(tags=["x", "y", "z"]), id="set appends"),
        pytest.param([op("set", "/tags/2", "z")], changed(tags=["x", "y", "z"]), id="set at the end"),
        pytest.param([op("set", "/ttl", 3)], changed(ttl=3), id="set ttl"),
        pytest.param([op("replace", "/quantity", 3)], changed(quantity=3), id="replace"),
        pytest.param([op("replace", "/note", 3)], changed(note=3), id="replace null"),
        pytest.param([op("replace", "/tags/1", 3)], changed(tags=["x", 3]), id="replace an element"),
        pytest.param([op("remove", "/quantity")], changed(quantity=...), id="remove"),
        pytest.param([op("remove", "/tags/0")], changed(tags=["y"]), id="remove an element"),
        pytest.param([op("remove", "/inner/list/0/k")], changed(inner={"n": 1, "list": [{}]}), id="remove inside"),
        pytest.param([op("incr", "/quantity", 3)], changed(quantity=5), id="incr"),
        pytest.param([op("incr", "/quantity", -3)], changed(quantity=-1), id="decr"),
        pytest.param([op("incr", "/price", 0.25)], changed(price=0.75), id="incr a fraction"),
        pytest.param([op("incr", "/price", 0.5)], changed(price=1), id="incr to a whole"),
        pytest.param([op("incr", "/new", 3)], changed(new=3), id="incr creates"),
        pytest.param([op("add", "/tags", [1]), op("incr", "/tags/0", 1)], changed(tags=[2]), id="incr an element"),
        pytest.param([move("/quantity", "/amount")], changed(quantity=..., amount=2), id="move"),
        pytest.param([move("/quantity", "/price")], changed(quantity=..., price=2), id="move over another"),
        pytest.param([move("/tags/0", "/tags/1")], changed(tags=["y", "x"]), id="move within an array"),
        pytest.param([move("/tags/0", "/first")], changed(tags=["y"], first="x"), id="move out of an array"),
        pytest.param([move("/inner/n", "/n")], changed(inner={"list": [{"k": 1}]}, n=1), id="move out of an object"),
        pytest.param([move("/quantity", "/quantity")], DOCUMENT, id="move nowhere"),
        pytest.param([op("set", "/a~1b", 9)], changed(**{"a/b": 9}), id="escaped slash"),
        pytest.param([op("set", "/m~0n", 9)], changed(**{"m~n": 9}), id="escaped tilde"),
        pytest.param([op("set", "/~01", 9)], changed(**{"~1": 9}), id="tilde then digit"),
        pytest.param([op("replace", "/-", 9)], changed(**{"-": 9}), id="dash is a property too"),
        pytest.param([op("replace", "/0", 9)], changed(**{"0": 9}), id="digits are a property too"),
        pytest.param([op("set", "/inner/id", 9)], changed(inner={**DOCUMENT["inner"], "id": 9}), id="an inner id is free"),
        pytest.param([op("set", "/idx", 1)], changed(idx=1), id="a longer name is free"),
        pytest.param([op("add", "/x", {}), op("add", "/x/y", 1), op("incr", "/x/y", 1)], changed(x={"y": 2}), id="in order"),
        pytest.param([op("incr", "/quantity", 1)] * 10, changed(quantity=12), id="ten"),
    ],
)  # fmt: skip
def test_operations_give(operations: list[dict[str, Any]], expected: dict[str, Any]) -> None:
    before = copy.deepcopy(DOCUMENT)
    assert apply_patch(DOCUMENT, operations) == expected
    assert before == DOCUMENT


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        pytest.param([], "1 to 10 operations", id="none"),
        pytest.param([op("incr", "/quantity", 1)] * 11, "1 to 10 operations", id="eleven"),
        pytest.param([op("copy", "/a", 1)], "needs an \"op\" out of", id="unknown op"),
        pytest.param([{"path": "/a"}], "needs an \"op\" out of", id="no op"),
        pytest.param([{"op": ["add"], "path": "/a"}], "needs an \"op\" out of", id="op is no text"),
        pytest.param([5], "needs an \"op\" out of", id="no object"),
        pytest.param([{"op": "set", "value": 1}], "a path must be text", id="no path"),
        pytest.param([op("set", "a", 1)], "a path must be text that starts", id="no slash"),
        pytest.param([op("set", "", 1)], "a path must be text that starts", id="the whole document"),
        pytest.param([op("set", "/", 1)], "the path is malformed", id="empty name"),
        pytest.param([op("set", "/a//b", 1)], "the path is malformed", id="empty name inside"),
        pytest.param([op("set", "/a~2", 1)], "the path is malformed", id="unknown escape"),
        pytest.param([op("set", "/a~", 1)], "the path is malformed", id="half an escape"),
        pytest.param([op("set", "/a")], "a value is missing", id="no value"),
        pytest.param([op("replace", "/missing", 1)], "(replace '/missing'): the path does not exist", id="replace missing"),
        pytest.param([op("replace", "/tags/2", 1)], "the path does not exist", id="replace behind the end"),
        pytest.param([op("replace", "/tags/-", 1)], "the path does not exist", id="replace the end"),
        pytest.param([op("remove", "/missing")], "the path does not exist", id="remove missing"),
        pytest.param([op("remove", "/tags/2")], "the path does not exist", id="remove behind the end"),
        pytest.param([op("remove", "/tags/x")], "the path does not exist", id="no index"),
        pytest.param([op("remove", "/tags/01")], "the path does not exist", id="leading zero"),
        pytest.param([op("remove", "/tags/-1")], "the path does not exist", id="negative index"),
        pytest.param([op("add", "/missing/deep", 1)], "the path does not exist", id="no parent"),
        pytest.param([op("add", "/quantity/deep", 1)], "no object or array", id="through a number"),
        pytest.param([op("add", "/quantity/deep/er", 1)], "the path does not exist", id="deep through a number"),
        pytest.param([op("add", "/tags/3", 1)], "no such index", id="add behind the end"),
        pytest.param([op("set", "/tags/x", 1)], "no such index", id="set no index"),
        pytest.param([op("incr", "/note", 1)], "no number", id="incr null"),
        pytest.param([op("incr", "/cartId2", "1")], "the value is no number", id="incr by text"),
        pytest.param([op("incr", "/quantity", True)], "the value is no number", id="incr by bool"),
        pytest.param([op("incr", "/tags", 1)], "what is there is no number", id="incr an array"),
        pytest.param([op("incr", "/tags/5", 1)], "the path does not exist", id="incr behind the end"),
        pytest.param([op("add", "/quantity", 1e308), op("incr", "/quantity", 1e308)], "operation 2 (incr '/quantity'): the sum", id="incr beyond doubles"),
        pytest.param([op("add", "/quantity", 10**400), op("incr", "/quantity", 0.5)], "no finite number", id="incr a huge integer"),
        pytest.param([{"op": "move", "path": "/a"}], "\"from\": a path must be text", id="move from nowhere"),
        pytest.param([move("/missing", "/a")], "the path does not exist", id="move missing"),
        pytest.param([move("/inner", "/inner/n")], "into itself", id="move into itself"),
        pytest.param([op("set", "/id", "2")], "'/id' cannot be patched", id="id"),
        pytest.param([op("remove", "/id")], "'/id' cannot be patched", id="remove id"),
        pytest.param([move("/id", "/x")], "'/id' cannot be patched", id="move id"),
        pytest.param([move("/quantity", "/id")], "'/id' cannot be patched", id="move onto id"),
        pytest.param([op("set", "/_ts", 1)], "'/_ts' cannot be patched", id="_ts"),
        pytest.param([op("set", "/_etag", "x")], "'/_etag' cannot be patched", id="_etag"),
        pytest.param([op("set", "/_rid/x", "x")], "'/_rid/x' cannot be patched", id="inside _rid"),
    ],
)  # fmt: skip
def test_patch_is_refused(operations: list[dict[str, Any]], message: str) -> None:
    before = copy.deepcopy(DOCUMENT)
    with pytest.raises(PatchError) as refusal:
        apply_patch(DOCUMENT, operations)
    assert message in refusal.value.message
    assert before == DOCUMENT


@pytest.mark.parametrize(
    ("path", "protected"),
    [
        pytest.param("/cartId", ["/cartId"], id="itself"),
        pytest.param("/inner", ["/inner/n"], id="what holds it"),
        pytest.param("/inner/n/deep", ["/inner/n"], id="inside it"),
    ],
)
def test_protected_paths_cannot_be_patched(path: str, protected: list[str]) -> None:
    with pytest.raises(PatchError, match="cannot be patched"):
        apply_patch(DOCUMENT, [op("set", path, 1)], protected=protected)


def test_neighbours_of_protected_paths_can() -> None:
    assert apply_patch(DOCUMENT, [op("set", "/inner/m", 1)], protected=["/inner/n"])


def test_values_are_copied() -> None:
    value = {"list": [1]}
    operations = [op("set", "/x", value), op("add", "/x/list/-", 2)]
    assert apply_patch(DOCUMENT, operations)["x"] == {"list": [1, 2]}
    assert value == {"list": [1]}


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab01-~/"), inner),
    max_leaves=6,
)
objects = st.dictionaries(st.sampled_from("ab01-~/"), json_values, max_size=4)
pointers = st.lists(
    st.sampled_from(["a", "b", "0", "1", "-", "~0", "~1", "~", ""]), max_size=3
).map(lambda parts: "".join(f"/{part}" for part in parts))
names = st.text(min_size=1, max_size=4).filter(lambda name: name not in SYSTEM_PROPERTIES)
wild = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "set", "replace", "remove", "incr", "move"]), "path": pointers},
    optional={"value": json_values, "from": pointers},
)


@settings(max_examples=200)
@given(document=objects, operations=st.lists(wild, max_size=4))
def test_any_patch_applies_or_is_refused(
    document: dict[str, Any], operations: list[dict[str, Any]]
) -> None:
    before = copy.deepcopy((document, operations))
    with suppress(PatchError):
        assert json.dumps(apply_patch(document, operations))
    assert before == (document, operations)


@settings(max_examples=200)
@given(document=objects, name=names, value=json_values)
def test_add_then_remove_leaves_no_trace(document: dict[str, Any], name: str, value: Any) -> None:
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    added = apply_patch(document, [op("add", pointer, value)])
    assert added == {**document, name: value}
    removed = apply_patch(added, [op("remove", pointer)])
    assert removed == {key: item for key, item in document.items() if key != name}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        pytest.param("from c where c.quantity = 2", True, id="holds"),
        pytest.param("from c where c.quantity = 3", False, id="does not hold"),
        pytest.param("FROM carts c WHERE c.inner.n > 0 AND c.cartId = 'a'", True, id="any name"),
        pytest.param("from c where c.missing = 1", False, id="undefined"),
        pytest.param("from c where c.quantity", False, id="no boolean"),
        pytest.param("from c", True, id="no condition"),
    ],
)
def test_condition(condition: str, expected: bool) -> None:
    assert condition_holds(condition, DOCUMENT) is expected


def test_condition_reads_the_given_clock() -> None:
    condition = "from c where GetCurrentTimestamp() = 1500"
    assert condition_holds(condition, DOCUMENT, now_seconds=lambda: 1.5)
    with pytest.raises(PatchError, match="GETCURRENTTIMESTAMP"):
        condition_holds(condition, DOCUMENT)


@pytest.mark.parametrize("condition", ["", "c.a = 1", "from c where", "from c order by c.a", 5])
def test_unreadable_condition_is_refused(condition: Any) -> None:
    with pytest.raises(PatchError, match=r"[Cc]ondition"):
        condition_holds(condition, DOCUMENT)
