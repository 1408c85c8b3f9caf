"""What cannot be run is refused by one line that says what and where."""

from __future__ import annotations

from typing import Any

import pytest

from cosmos_emulator.query import QueryError, compile_condition, compile_query


@pytest.mark.parametrize(
    ("query", "message"),
    [
        pytest.param("", "at the end of the query: expected SELECT", id="empty"),
        pytest.param("DELETE FROM c", "near 'DELETE': expected SELECT", id="not a query"),
        pytest.param("SELECT", "at the end of the query: expected an expression", id="cut short"),
        pytest.param("SELECT * FROM", "expected an input set", id="no input set"),
        pytest.param("SELECT * FROM c WHERE", "expected an expression", id="no condition"),
        pytest.param("SELECT * FROM c WHER c.id = 1", "near 'c': expected the end", id="typo"),
        pytest.param("SELECT * FROM c;", "unexpected character ';'", id="semicolon"),
        pytest.param("SELECT * FROM c WHERE c.a == 1", "near '=': expected an expression", id="=="),
        pytest.param("SELECT 'abc", "a string is not closed", id="open string"),
        pytest.param(r"SELECT 'a\q'", r"unknown escape '\q'", id="escape"),
        pytest.param("SELECT 1abc", "near '1a'", id="number runs on"),
        pytest.param("SELECT 1e999", "too large", id="infinite"),
        pytest.param("SELECT " + "9" * 5000, "too large", id="too many digits"),
        pytest.param("SELECT c.order FROM c", "'order' is a reserved word", id="reserved property"),
        pytest.param("SELECT 1 AS value", "'value' is a reserved word", id="reserved alias"),
        pytest.param("SELECT * FROM c, d", "near ',': expected the end", id="comma join"),
        pytest.param("SELECT *, c.id FROM c", "near ','", id="star and more"),
        pytest.param("SELECT VALUE * FROM c", "near '*'", id="value star"),
        pytest.param("SELECT *", "SELECT * needs FROM", id="star of nothing"),
        pytest.param("SELECT * FROM c JOIN t IN c.tags", "exactly one input set", id="star join"),
        pytest.param("SELECT * FROM c GROUP BY c.id", "beside GROUP BY", id="star group"),
        pytest.param("SELECT * FROM x IN c", "IN needs an array", id="iterate the container"),
        pytest.param("SELECT VALUE e FROM c[c.a] AS e", "fixed properties and indexes", id="computed path"),
        pytest.param("SELECT VALUE t FROM c JOIN c IN c.tags", "'c' is used twice", id="alias twice"),
        pytest.param("SELECT * FROM c WHERE d.id = 1", "called 'd' (at position 22)", id="unknown alias"),
        pytest.param("SELECT * FROM c AS x WHERE c.id = 1", "called 'c'", id="container renamed"),
        pytest.param("SELECT id FROM c", "called 'id'", id="bare property"),
        pytest.param("SELECT VALUE (SELECT VALUE COUNT(1) FROM d) FROM c", "called 'd'", id="other container"),
        pytest.param("SELECT * FROM c WHERE c.id = @x", "given for @x (at position 29)", id="parameter"),
        pytest.param("SELECT NOSUCH(1)", "function NOSUCH is not supported (at position 7)", id="function"),
        pytest.param("SELECT udf.tax(c.price) FROM c", "User-defined functions", id="udf"),
        pytest.param("SELECT COUNT(*) FROM c", "COUNT(1)", id="count star"),
        pytest.param("SELECT COUNT(DISTINCT c.a) FROM c", "DISTINCT within a function", id="count distinct"),
        pytest.param("SELECT COUNT(1, 2) FROM c", "COUNT takes 1 argument, not 2", id="aggregate arity"),
        pytest.param("SELECT COUNT() FROM c", "COUNT takes 1 argument, not 0", id="aggregate of nothing"),
        pytest.param("SELECT VALUE SUM(COUNT(1)) FROM c", "aggregate COUNT may stand only", id="nested aggregate"),
        pytest.param("SELECT * FROM c WHERE COUNT(1) > 1", "aggregate COUNT may stand only", id="filter by aggregate"),
        pytest.param("SELECT c.a, COUNT(1) FROM c", "'c' is used outside of an aggregate", id="not grouped"),
        pytest.param("SELECT c.a FROM c GROUP BY c.b", "not named in GROUP BY", id="other key"),
        pytest.param("SELECT COUNT(1) FROM c GROUP BY c.a HAVING COUNT(1) > 1", "HAVING is not supported", id="having"),
        pytest.param("SELECT c.a FROM c GROUP BY c.a ORDER BY c.a", "ORDER BY is not supported beside GROUP BY", id="group order"),
        pytest.param("SELECT * FROM c ORDER BY 1", "property paths only", id="order by number"),
        pytest.param("SELECT * FROM c ORDER BY LOWER(c.a)", "property paths only", id="order by function"),
        pytest.param("SELECT * FROM c ORDER BY RANK RRF(1)", "RANK is not supported", id="order by rank"),
        pytest.param("SELECT * FROM c ORDER BY c.a UP", "near 'UP'", id="direction"),
        pytest.param("SELECT * FROM c OFFSET 1", "OFFSET and LIMIT need each other", id="offset alone"),
        pytest.param("SELECT * FROM c LIMIT 1", "OFFSET and LIMIT need each other", id="limit alone"),
        pytest.param("SELECT TOP 1 * FROM c OFFSET 1 LIMIT 1", "TOP cannot stand beside", id="top offset"),
        pytest.param("SELECT TOP 1.5 * FROM c", "expected a whole number", id="top fraction"),
        pytest.param("SELECT TOP -1 * FROM c", "expected a whole number", id="top negative"),
        pytest.param("SELECT c.a IN () FROM c", "IN needs at least one value", id="empty in"),
        pytest.param("SELECT 1 IN (1) IN (true)", "parentheses are needed", id="in in"),
        pytest.param("SELECT 'a' LIKE 'a' ESCAPE 'ab'", "one character", id="escape too long"),
        pytest.param("SELECT CASE WHEN true THEN 1 END", "WHEN is not supported", id="case"),
        pytest.param("SELECT (1", "expected ')'", id="open parenthesis"),
        pytest.param("SELECT [1", "expected ']'", id="open array"),
        pytest.param("SELECT {1: 2}", "expected a property name", id="object key"),
        pytest.param("SELECT true ? 1", "expected ':'", id="half a ternary"),
        pytest.param("SELECT " + "(" * 200 + "1" + ")" * 200, "nested too deeply", id="parentheses"),
        pytest.param("SELECT " + "NOT " * 5000 + "true", "nested too deeply", id="nots"),
        pytest.param("SELECT " + "- " * 5000 + "1", "nested too deeply", id="minuses"),
        pytest.param("SELECT " + "true ? 1 : " * 5000 + "1", "nested too deeply", id="ternaries"),
        pytest.param("SELECT " + "[" * 5000, "nested too deeply", id="brackets"),
        pytest.param("SELECT " + "EXISTS(SELECT " * 500, "nested too deeply", id="subqueries"),
    ],
)  # fmt: skip
def test_query_is_refused(query: str, message: str) -> None:
    with pytest.raises(QueryError) as refusal:
        compile_query(query).run([{"id": "1"}])
    assert "\n" not in refusal.value.message
    assert message in refusal.value.message


def test_a_refusal_knows_its_position() -> None:
    with pytest.raises(QueryError) as refusal:
        compile_query("SELECT * FROM c WHERE")
    assert refusal.value.position == 21
    assert str(refusal.value) == refusal.value.message


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param([{"value": 1}], id="no name"),
        pytest.param([{"name": "@x"}], id="no value"),
        pytest.param([{"name": 1, "value": 1}], id="name is no text"),
        pytest.param([5], id="no object"),
    ],
)
def test_malformed_parameters_are_refused(parameters: list[Any]) -> None:
    with pytest.raises(QueryError, match="needs a name and a value"):
        compile_query("SELECT 1", parameters)


@pytest.mark.parametrize("count", [-1, 1.5, "1", None, True])
def test_a_window_takes_whole_numbers_only(count: Any) -> None:
    with pytest.raises(QueryError, match="whole numbers"):
        compile_query("SELECT TOP @n * FROM c", [{"name": "@n", "value": count}])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SELECT * FROM c",
        "WHERE c.a = 1",
        "FROM c WHERE c.a = 1 ORDER BY c.a",
        "FROM c WHERE d.a = 1",
        "FROM c WHERE c.a = @x",
    ],
)
def test_a_condition_is_from_and_where_only(text: str) -> None:
    with pytest.raises(QueryError):
        compile_condition(text)


def test_a_condition_tells_which_documents_meet_it() -> None:
    condition = compile_condition("from c where c.quantity > 2")
    assert condition.run([{"quantity": 3}, {"quantity": 1}, {}]) == [True]
    assert compile_condition("FROM c").run([{}]) == [True]


def test_long_flat_queries_are_not_deep() -> None:
    assert compile_query("SELECT VALUE " + "1 + " * 5_000 + "1").run([]) == [5_001]
    assert compile_query("SELECT VALUE c" + ".a" * 5_000 + " FROM c").run([{}]) == []
    assert compile_query("SELECT VALUE undefined" + " ?? undefined" * 5_000).run([]) == []
