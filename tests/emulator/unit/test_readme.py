"""The README's tables name everything that the emulator speaks, and nothing that it does not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import cosmos_emulator
from cosmos_emulator import Emulator, Engine, control, errors, refused
from cosmos_emulator.account import Account
from cosmos_emulator.operations import operation_of
from cosmos_emulator.query.aggregates import AGGREGATES
from cosmos_emulator.query.clock_functions import CLOCK_FUNCTIONS, DATE_FUNCTIONS
from cosmos_emulator.query.operators import BINARY, UNARY
from cosmos_emulator.query.text_functions import TEXT_FUNCTIONS
from cosmos_emulator.query.value_functions import VALUE_FUNCTIONS
from cosmos_emulator.routes import ROUTES, answer
from cosmos_emulator.wire import Call

PACKAGE = Path(cosmos_emulator.__file__).parent
README = (PACKAGE / "README.md").read_text("utf-8")
CODE = re.compile(r"`([^`]+)`")


def section(title: str) -> str:
    """What stands between this heading and the next."""
    found = re.search(rf"^#+ {title}\n(.*?)(?=^#+ |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[1]


def rows(title: str) -> list[list[str]]:
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def call(method: str, path: str, headers: dict[str, str] | None = None) -> Call:
    return Call(method=method, path=path, headers=headers or {}, body=b"", base_url="")


def literals() -> Iterator[str]:
    """All texts in the emulator's code, its docstrings aside."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def refusals() -> Iterator[int]:
    """The status of every refusal in the emulator's code, as far as it is a constant."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and ast.unparse(node.func) == "EmulatorError"
                and isinstance(node.args[0], ast.Constant)
            ):
                assert isinstance(node.args[0].value, int)
                yield node.args[0].value


def test_each_operation_has_the_row_by_which_it_is_asked_for() -> None:
    asked: dict[str, str | None] = {}
    for operation, request, *_ in rows("Operations"):
        line, *headers = CODE.findall(request)
        method, _, path = line.partition(" ")
        given = dict(header.split(": ", 1) for header in headers)
        asked[operation.strip("`")] = operation_of(call(method, path, given))
    assert asked == {name: name for name in ROUTES}


def test_what_there_is_not_is_refused_as_it_says() -> None:
    account = Account(engine=Engine(now=lambda: 0.0))
    named = set()
    for _, path, status in rows("What there is not"):
        link = path.strip("`")
        assert answer(account, None, call("GET", f"/{link}")).status == int(status)
        named.add(link.rpartition("/")[2])
    assert named == refused.RESOURCES
    assert answer(account, None, call("GET", "/nothing")).status == 404


def test_each_header_of_the_code_is_in_a_table() -> None:
    cells = [row[0] for title in ("requests", "answers") for row in rows(f"Headers of {title}")]
    told = {header for cell in cells for header in CODE.findall(cell) if header.startswith("x-ms")}
    assert told == {text for text in literals() if re.fullmatch(r"x-ms-[a-z0-9-]+", text)}


def test_headers_that_ask_for_what_there_is_not_are_refused() -> None:
    account = Account(engine=Engine(now=lambda: 0.0))
    row = next(row for row in rows("Headers of requests") if "501" in row[1])
    assert set(CODE.findall(row[0])) == refused.HEADERS
    for header in refused.HEADERS:
        assert answer(account, "read_account", call("GET", "/", {header: "x"})).status == 501


def test_each_status_of_the_code_has_a_row() -> None:
    told = {int(status) for status, _ in rows("Statuses of refusals")}
    beside = {424, 304}
    assert told | beside == {*refusals()} | beside
    substatuses = {value for name, value in vars(errors).items() if isinstance(value, int)}
    text = section("Statuses of refusals")
    assert substatuses == {int(each) for each in re.findall(r"\b(\d{4})\b", text)}


def test_each_function_is_named() -> None:
    known = {
        *AGGREGATES,
        *CLOCK_FUNCTIONS,
        *DATE_FUNCTIONS,
        *TEXT_FUNCTIONS,
        *VALUE_FUNCTIONS,
    }
    named = {each for each in CODE.findall(section("Functions")) if each != "SELECT"}
    assert named == known


def test_each_operator_is_named() -> None:
    words = {word for code in CODE.findall(section("Queries")) for word in code.split()}
    assert {*BINARY, *UNARY} - words == set()


def test_each_control_request_has_a_row() -> None:
    told = set()
    for request, *_ in rows("Control requests"):
        method, _, path = request.strip("`").partition(" /_emulator/")
        told.add((method, path.removeprefix("dbs/{db}/colls/{coll}/")))
    elsewhere = {("POST", "bulk"), ("GET", "health"), ("GET", "certificate")}
    assert told == {*control.ON_CONTAINER, *control.PLAIN} | elsewhere


@pytest.mark.parametrize("name", [name for name in vars(Emulator) if not name.startswith("_")])
def test_what_a_test_may_call_says_what_it_does(name: str) -> None:
    assert getattr(Emulator, name).__doc__
