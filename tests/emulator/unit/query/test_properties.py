"""Properties over generated queries and documents.

Whatever the text, the answer is a result or a `QueryError`; and the engine agrees with what a plain
reading of the same query over Python values says.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cosmos_emulator.query import QueryError, compile_query
from cosmos_emulator.query.lexer import KEYWORDS
from cosmos_emulator.query.values import UNDEFINED, identity, order_key

EXAMPLES = 200

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "id"]), inner, max_size=3)
    ),
    max_leaves=8,
)
documents = st.lists(
    st.dictionaries(st.sampled_from(["id", "a", "b", "tags"]), json_values, max_size=4), max_size=5
)


def words(text: str) -> list[str]:
    return text.split()


WORDS = [
    *sorted(KEYWORDS),
    *words('c c.a c.b c.id c.tags c[0] c["a"] t @p @q 1 0 2.5 \'x\' "y" true null undefined'),
    *words("+ - * / % = != < <= > >= || ?? ? : & | ^ ~ << >> >>> ( ) [ ] { } , ."),
    *words("COUNT( SUM( MIN( AVG( STARTSWITH( IS_DEFINED( ARRAY_CONTAINS( ROUND( nosuch("),
    *["SELECT * FROM c", "SELECT VALUE", "FROM c", "FROM t IN c.tags", "JOIN t IN c.tags"],
    *["WHERE c.a", "GROUP BY c.a", "ORDER BY c.a DESC", "OFFSET 1 LIMIT 2", "EXISTS(SELECT"],
    *["--", "/*", "*/", "\n", "é", "\\", "'", '"'],
]
sentences = st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join)
PARAMETERS: list[dict[str, Any]] = [
    {"name": "@p", "value": 1},
    {"name": "@q", "value": {"a": ["x"]}},
]


def answered(text: str, given_documents: list[dict[str, Any]]) -> None:
    with suppress(QueryError):
        compile_query(text, PARAMETERS).run(given_documents)


@settings(max_examples=EXAMPLES)
@given(text=st.text() | st.text().map("SELECT ".__add__), rows=documents)
@example(text="SELECT " + "(" * 10_000, rows=[])
@example(text="SELECT " + "c" + "[0" * 10_000, rows=[])
@example(text="'" * 9_999, rows=[])
def test_any_text_is_answered_or_refused(text: str, rows: list[dict[str, Any]]) -> None:
    answered(text, rows)


@settings(max_examples=EXAMPLES)
@given(text=sentences | sentences.map("SELECT VALUE ".__add__), rows=documents)
def test_any_row_of_words_is_answered_or_refused(text: str, rows: list[dict[str, Any]]) -> None:
    answered(text, rows)


def nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(words("+ - * / % || = != < <= > >= AND OR ?? & | ^ << >> >>> LIKE"))
    functions = st.sampled_from(words("LOWER LENGTH ABS ROUND IS_NUMBER TOSTRING ARRAY_LENGTH"))
    return st.one_of(
        st.tuples(inner, operators, inner).map(lambda parts: f"({' '.join(parts)})"),
        inner.map(lambda part: f"NOT ({part})"),
        inner.map(lambda part: f"-({part})"),
        st.tuples(functions, inner).map(lambda parts: f"{parts[0]}({parts[1]})"),
        st.tuples(inner, inner, inner).map(lambda parts: "({} ? {} : {})".format(*parts)),
        st.tuples(inner, inner, inner).map(lambda parts: "({} BETWEEN {} AND {})".format(*parts)),
        st.tuples(inner, inner, inner).map(lambda parts: "({} IN ({}, {}))".format(*parts)),
        st.tuples(inner, inner).map(lambda parts: '{{"a": {}, "b": [{}]}}'.format(*parts)),
    )


expressions = st.recursive(
    st.sampled_from(["c.a", "c.b", "c.tags", "c.id", "1", "-2.5", "'x'", "true", "null", "@q"]),
    nested,
    max_leaves=12,
)


@settings(max_examples=EXAMPLES)
@given(expression=expressions, rows=documents)
def test_every_expression_gives_a_value(expression: str, rows: list[dict[str, Any]]) -> None:
    """No operator and no function fails on any values, and no undefined slips out."""
    found = compile_query(f"SELECT VALUE [{expression}] FROM c", PARAMETERS).run(rows)
    assert len(found) == len(rows)
    for values in found:
        assert identity(values) == identity(values)  # walks it: plain JSON all the way down


@settings(max_examples=EXAMPLES)
@given(rows=documents, first=st.booleans(), second=st.booleans())
def test_order_by_sorts_by_each_key(
    rows: list[dict[str, Any]],
    first: bool,
    second: bool,
) -> None:
    directions = ["DESC" if down else "ASC" for down in (first, second)]
    query = "SELECT * FROM c ORDER BY c.a {}, c.b {}".format(*directions)
    found = compile_query(query).run(rows)
    assert sorted(map(id, found)) == sorted(map(id, rows))
    for one, following in pairwise(found):
        for key, descending in (("a", first), ("b", second)):
            low, high = order_key(one.get(key, UNDEFINED)), order_key(following.get(key, UNDEFINED))
            if low != high:
                assert (low > high) == descending
                break


@settings(max_examples=EXAMPLES)
@given(rows=documents)
def test_distinct_and_group_by_agree(rows: list[dict[str, Any]]) -> None:
    distinct = compile_query("SELECT DISTINCT c.a FROM c").run(rows)
    grouped = compile_query("SELECT c.a, COUNT(1) AS n FROM c GROUP BY c.a").run(rows)
    assert [{k: v for k, v in row.items() if k != "n"} for row in grouped] == distinct
    assert sum(row["n"] for row in grouped) == len(rows)


@settings(max_examples=EXAMPLES)
@given(rows=documents, offset=st.integers(0, 6), limit=st.integers(0, 6))
def test_window_is_a_slice(rows: list[dict[str, Any]], offset: int, limit: int) -> None:
    query = f"SELECT * FROM c OFFSET {offset} LIMIT {limit}"
    assert compile_query(query).run(rows) == rows[offset : offset + limit]


@settings(max_examples=EXAMPLES)
@given(rows=documents)
def test_negation_splits_the_defined(rows: list[dict[str, Any]]) -> None:
    """A condition, its negation and its being undefined share out the documents."""

    def count(condition: str) -> int:
        found = compile_query(f"SELECT VALUE COUNT(1) FROM c WHERE {condition}").run(rows)
        return int(found[0])

    condition = "(c.a < c.b)"
    parts = [condition, f"NOT {condition}", f"NOT IS_DEFINED({condition})"]
    assert sum(count(part) for part in parts) == len(rows)


@settings(max_examples=EXAMPLES)
@given(value=json_values)
def test_equality_is_identity_of_json(value: Any) -> None:
    parameters = [{"name": "@a", "value": value}]
    assert compile_query("SELECT VALUE @a = @a", parameters).run([]) == [True]
    query = compile_query("SELECT VALUE ARRAY_CONTAINS([@a], @a)", parameters)
    assert query.run([]) == [True]


@settings(max_examples=EXAMPLES)
@given(
    text=st.text(alphabet=st.characters(codec="utf-16"), max_size=30), quote=st.sampled_from("'\"")
)
def test_string_literals_come_through(text: str, quote: str) -> None:
    escaped = text.replace("\\", "\\\\").replace(quote, "\\" + quote)
    assert compile_query(f"SELECT VALUE {quote}{escaped}{quote}").run([]) == [text]
    coded = "".join(
        f"\\u{unit:04x}" for unit in memoryview(text.encode("utf-16-le")).cast("H").tolist()
    )
    assert compile_query(f"SELECT VALUE '{coded}'").run([]) == [text]


@pytest.mark.parametrize("depth", [60, 70])
def test_reasonable_nesting_is_accepted(depth: int) -> None:
    query = "SELECT VALUE " + "(" * depth + "1" + ")" * depth
    assert compile_query(query).run([]) == [1]
