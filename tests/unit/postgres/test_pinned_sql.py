"""Every statement that is made from the definition is, for carts, the one that is pinned."""

from __future__ import annotations

import pytest

from tests.sql_pins import FOLDER, STATEMENTS, pinned


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_is_the_one_that_is_pinned(name: str) -> None:
    above, statement = pinned(name)
    assert statement == STATEMENTS[name].strip(), "look at it, then: python -m tests.sql_pins"
    assert "\n-- Plan: " in above, "above it stand its purpose and its expected plan"


def test_nothing_is_pinned_that_is_not_made() -> None:
    assert {path.stem for path in FOLDER.glob("*.sql")} == set(STATEMENTS)
