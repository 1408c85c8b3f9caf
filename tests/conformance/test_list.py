"""The page that lists the checks names each of them once, and tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "reference" / "conformance.md"
ROW = re.compile(r"^\| (\d+) \| (.+?) \| (.+?) \|$", flags=re.MULTILINE)
CHECK = re.compile(r"def test_check_(\d{3})(?:_(?:to|and)_(\d{3}))?_")
ROWS = [(int(number), where) for number, _, where in ROW.findall(PAGE.read_text("utf-8"))]


def checks_of(path: Path) -> set[int]:
    """Numbers of the checks that a test file holds."""
    found: set[int] = set()
    for first, last in CHECK.findall(path.read_text("utf-8")):
        found |= set(range(int(first), int(last or first) + 1))
    return found


def test_every_check_is_listed_once() -> None:
    assert [number for number, _ in ROWS] == list(range(1, 113))


@pytest.mark.parametrize(("number", "where"), ROWS, ids=lambda value: str(value)[:40])
def test_listed_tests_exist(number: int, where: str) -> None:
    files = re.findall(r"`([^`]+)`", where)
    assert files or where == "none"
    for name in files:
        assert number in checks_of(TESTS / name), name


def test_every_numbered_test_has_a_row() -> None:
    rows = {number for number, where in ROWS if where != "none"}
    numbers = {number for path in TESTS.rglob("test_*.py") for number in checks_of(path)}
    assert numbers <= rows
