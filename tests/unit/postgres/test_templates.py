"""Places in statements: filled, wrapped, and never left open."""

from __future__ import annotations

import pytest

from projector.postgres.templates import WIDTH, each, filled


def test_texts_and_lists_fill_their_places() -> None:
    columns = each("excluded.{}", ["a", "b"])
    assert filled("INSERT INTO {table} ({columns})", table="s.t", columns=columns) == (
        "INSERT INTO s.t (excluded.a, excluded.b)"
    )


def test_what_is_no_place_stays() -> None:
    assert filled("'{}'::jsonb, %(key)s, {a}", a="'{b}'") == "'{}'::jsonb, %(key)s, '{b}'"


def test_a_place_that_nothing_is_given_for_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        filled("SELECT {columns}", column="a")


@pytest.mark.parametrize(
    ("before", "below"),
    [("SELECT ", "  "), ("  SELECT ", "    "), ("  a = 1, ", "  ")],
    ids=["statement", "inner statement", "list of its own"],
)
def test_a_long_list_goes_on_below(before: str, below: str) -> None:
    names = [f"a_rather_long_column_{n}" for n in range(12)]
    lines = filled(before + "{names}", names=names).split("\n")
    assert len(lines) > 1
    assert all(len(line) <= WIDTH for line in lines)
    assert all(line.startswith(below + "a_rather") for line in lines[1:])
    assert "".join(line.strip() + " " for line in lines).strip() == before.strip() + " " + (
        ", ".join(names)
    )
