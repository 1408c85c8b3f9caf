"""Whole queries: projection, FROM and JOIN, filter, order, paging, groups, subqueries."""

from __future__ import annotations

from typing import Any

import pytest

from cosmos_emulator.query import compile_query

CARTS: list[dict[str, Any]] = [
    {"id": "1", "cartId": "a", "item": "Pen", "quantity": 2, "price": 1.5, "tags": ["x", "y"]},
    {"id": "2", "cartId": "a", "item": "Book", "quantity": 8, "price": 20, "tags": ["y"]},
    {"id": "3", "cartId": "b", "item": "Cup", "quantity": 1, "tags": [], "note": None},
    {"id": "4", "cartId": "b", "item": "Pen", "quantity": 2, "price": "9", "extra": {"n": 1}},
]


def run(query: str, documents: list[dict[str, Any]] | None = None, **parameters: Any) -> list[Any]:
    given = [{"name": f"@{name}", "value": value} for name, value in parameters.items()]
    return compile_query(query, given).run(CARTS if documents is None else documents)


def ids(query: str, **parameters: Any) -> str:
    """The ids of the result, joined: `1,2`."""
    return ",".join(row["id"] for row in run(query, **parameters))


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        pytest.param("c.cartId = 'a'", "1,2", id="equal"),
        pytest.param("c.cartId = 'a' AND c.quantity > 2", "2", id="and"),
        pytest.param("c.item = 'Cup' OR c.quantity = 8", "2,3", id="or"),
        pytest.param("c.price > 1", "1,2", id="text is no number"),
        pytest.param("c.price != 1", "1,2", id="missing is not unequal"),
        pytest.param("NOT IS_DEFINED(c.price)", "3", id="not defined"),
        pytest.param("c.note = null", "3", id="null"),
        pytest.param("c.note", "", id="null is not true"),
        pytest.param("c.quantity", "", id="a number is not true"),
        pytest.param("true", "1,2,3,4", id="constant true"),
        pytest.param("undefined", "", id="undefined"),
        pytest.param("STARTSWITH(c.item, 'P')", "1,4", id="function"),
        pytest.param("c.extra.n = 1", "4", id="nested"),
        pytest.param("ARRAY_CONTAINS(c.tags, 'y')", "1,2", id="array"),
        pytest.param("c.id IN ('2', '4', '9')", "2,4", id="in"),
        pytest.param("c.quantity BETWEEN 2 AND 8", "1,2,4", id="between"),
        pytest.param("c.item LIKE '%e%'", "1,4", id="like"),
    ],
)
def test_where_keeps_what_is_true(condition: str, expected: str) -> None:
    assert ids(f"SELECT * FROM c WHERE {condition}") == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("SELECT * FROM c WHERE c.id = '1'", [CARTS[0]], id="star"),
        pytest.param("SELECT c FROM c WHERE c.id = '1'", [{"c": CARTS[0]}], id="the alias itself"),
        pytest.param("SELECT VALUE c FROM c WHERE c.id = '1'", [CARTS[0]], id="value of alias"),
        pytest.param("SELECT c.id, c.item FROM c WHERE c.id = '1'", [{"id": "1", "item": "Pen"}], id="names"),
        pytest.param("SELECT c['id'] FROM c WHERE c.id = '1'", [{"id": "1"}], id="bracket name"),
        pytest.param("SELECT c.extra.n FROM c WHERE c.id = '4'", [{"n": 1}], id="last property"),
        pytest.param("SELECT c.tags[1] FROM c WHERE c.id = '1'", [{"$1": "y"}], id="index is $1"),
        pytest.param("SELECT 1, c.id, 2 FROM c WHERE c.id = '1'", [{"$1": 1, "id": "1", "$2": 2}], id="$1 and $2"),
        pytest.param("SELECT c.id AS a, c.item b FROM c WHERE c.id = '1'", [{"a": "1", "b": "Pen"}], id="aliases"),
        pytest.param("SELECT c.price FROM c WHERE c.id = '3'", [{}], id="undefined is left out"),
        pytest.param("SELECT c.note FROM c WHERE c.id = '3'", [{"note": None}], id="null stays"),
        pytest.param("SELECT VALUE c.note FROM c", [None], id="undefined gives no row"),
        pytest.param("SELECT VALUE {i: c.id, p: c.price} FROM c WHERE c.id = '3'", [{"i": "3"}], id="object"),
        pytest.param("SELECT VALUE 1 + 1", [2], id="no FROM"),
        pytest.param("SELECT 'x' AS y", [{"y": "x"}], id="no FROM, list"),
        pytest.param("SELECT VALUE 1 WHERE false", [], id="no FROM, filtered"),
        pytest.param("SELECT VALUE 1 FROM c", [1, 1, 1, 1], id="constant per document"),
        pytest.param("select value r.id from root r where r.id = '1'", ["1"], id="lower case"),
        pytest.param("SELECT VALUE x.id FROM c AS x WHERE x.id = '1'", ["1"], id="AS alias"),
        pytest.param("SELECT VALUE carts.id FROM carts WHERE carts.id = '1'", ["1"], id="any container name"),
        pytest.param("SELECT -- all\n VALUE c.id /* of\n c */ FROM c WHERE c.id='1'", ["1"], id="comments"),
    ],
)  # fmt: skip
def test_projection(query: str, expected: list[Any]) -> None:
    assert run(query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("SELECT VALUE t FROM t IN c.tags", ["x", "y", "y"], id="iterate"),
        pytest.param("SELECT * FROM t IN c.tags", ["x", "y", "y"], id="star over elements"),
        pytest.param("SELECT VALUE tags FROM c.tags", [["x", "y"], ["y"], []], id="path"),
        pytest.param("SELECT VALUE e.n FROM c.extra e", [1], id="path with alias"),
        pytest.param("SELECT VALUE e FROM c.extra.n AS e", [1], id="deeper path"),
        pytest.param("SELECT VALUE e FROM c.tags[1] AS e", ["y"], id="indexed path"),
        pytest.param("SELECT c.id, t FROM c JOIN t IN c.tags", [{"id": "1", "t": "x"}, {"id": "1", "t": "y"}, {"id": "2", "t": "y"}], id="join"),
        pytest.param("SELECT VALUE a || b FROM c JOIN a IN c.tags JOIN b IN c.tags WHERE c.id = '1'", ["xx", "xy", "yx", "yy"], id="cross product"),
        pytest.param("SELECT VALUE n FROM c JOIN n IN c.quantity", [], id="join over no array"),
        pytest.param("SELECT VALUE e.n FROM c JOIN e IN [c.extra]", None, id="join needs a path"),
        pytest.param("SELECT VALUE e.n FROM c JOIN c.extra AS e", [1], id="join without IN"),
        pytest.param("SELECT VALUE [c.id, n] FROM c JOIN (SELECT VALUE COUNT(1) FROM t IN c.tags) AS n", [["1", 2], ["2", 1], ["3", 0], ["4", 0]], id="join subquery"),
        pytest.param("SELECT VALUE t FROM c JOIN t IN (SELECT VALUE t FROM t IN c.tags WHERE t > 'x')", ["y", "y"], id="join iterates a subquery"),
    ],
)  # fmt: skip
def test_input_sets(query: str, expected: list[Any] | None) -> None:
    if expected is None:
        with pytest.raises(Exception, match="expected an input set"):
            run(query)
    else:
        assert run(query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("EXISTS(SELECT VALUE t FROM t IN c.tags WHERE t = 'x')", "1", id="exists"),
        pytest.param("NOT EXISTS(SELECT * FROM t IN c.tags)", "3,4", id="not exists"),
        pytest.param("(SELECT VALUE COUNT(1) FROM t IN c.tags) = 1", "2", id="scalar"),
        pytest.param("ARRAY_LENGTH(ARRAY(SELECT VALUE t FROM t IN c.tags)) = 2", "1", id="array"),
        pytest.param("(SELECT VALUE t FROM t IN c.tags WHERE t = 'zz') = 'zz'", "", id="empty scalar is undefined"),
        pytest.param("EXISTS(SELECT VALUE 1 FROM t IN c.tags WHERE t = 'y' AND c.quantity > 2)", "2", id="correlated"),
    ],
)  # fmt: skip
def test_subqueries_see_the_row_around_them(query: str, expected: str) -> None:
    assert ids(f"SELECT * FROM c WHERE {query}") == expected


def test_an_alias_hides_the_same_one_around_it() -> None:
    query = """SELECT VALUE ARRAY(SELECT VALUE c || ARRAY(SELECT VALUE c FROM c IN d.tags)[0]
        FROM c IN d.tags) FROM d WHERE d.id = '1'"""
    assert run(query) == [["xx", "yx"]]


def test_nested_subqueries_keep_their_bindings_apart() -> None:
    query = """SELECT VALUE ARRAY(SELECT VALUE {"t": t, "n": (SELECT VALUE COUNT(1) FROM u IN c.tags
        WHERE u >= t)} FROM t IN c.tags) FROM c WHERE c.id = '1'"""
    assert run(query) == [[{"t": "x", "n": 2}, {"t": "y", "n": 1}]]


@pytest.mark.parametrize(
    ("clauses", "expected"),
    [
        pytest.param("ORDER BY c.quantity", "3,1,4,2", id="ascending, stable"),
        pytest.param("ORDER BY c.quantity DESC", "2,4,1,3", id="descending, newest first"),
        pytest.param("ORDER BY c.item ASC, c.id DESC", "2,3,4,1", id="two keys"),
        pytest.param("ORDER BY c.cartId DESC, c.quantity ASC", "3,4,1,2", id="mixed directions"),
        pytest.param("ORDER BY c.price", "3,1,2,4", id="undefined, numbers, text"),
        pytest.param("ORDER BY c['item'], c.id", "2,3,1,4", id="bracket path"),
        pytest.param("WHERE c.cartId = 'b' ORDER BY c.quantity DESC", "4,3", id="filtered"),
        pytest.param("ORDER BY c.id DESC OFFSET 1 LIMIT 2", "3,2", id="ordered window"),
        pytest.param("OFFSET 0 LIMIT 1", "1", id="window"),
        pytest.param("OFFSET 3 LIMIT 10", "4", id="window at the end"),
        pytest.param("OFFSET 9 LIMIT 10", "", id="window behind the end"),
        pytest.param("OFFSET 0 LIMIT 0", "", id="empty window"),
        pytest.param("OFFSET 0 LIMIT 99999999999999999999", "1,2,3,4", id="huge limit"),
        pytest.param("OFFSET @two LIMIT @one", "3", id="window by parameters"),
    ],
)
def test_order_and_window(clauses: str, expected: str) -> None:
    assert ids(f"SELECT * FROM c {clauses}", one=1, two=2) == expected


def test_order_over_all_types() -> None:
    values: list[Any] = [{"a": 1}, [2], [1], "b", "a", 2, -1.5, True, False, None]
    documents = [{"v": value} for value in values] + [{"w": 1}]
    expected = [None, False, True, -1.5, 2, "a", "b", [1], [2], {"a": 1}]
    query = "SELECT c.v FROM c ORDER BY c.v"
    assert run(query, documents) == [{}, *({"v": value} for value in expected)]
    assert run(f"{query} DESC", documents) == [*({"v": v} for v in reversed(expected)), {}]


def test_order_survives_nan_and_huge_integers() -> None:
    documents = [{"v": v} for v in (1, float("nan"), 10**400, float("inf"), -(10**400))]
    found = run("SELECT VALUE c.v FROM c ORDER BY c.v", documents)
    assert found[1:] == [-(10**400), 1, 10**400, float("inf")]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("SELECT TOP 2 VALUE c.id FROM c", ["1", "2"], id="top"),
        pytest.param("SELECT TOP 0 VALUE c.id FROM c", [], id="top 0"),
        pytest.param("SELECT TOP @n VALUE c.id FROM c", ["1", "2", "3"], id="top by parameter"),
        pytest.param("SELECT TOP 1 * FROM c ORDER BY c.quantity DESC", [CARTS[1]], id="top of order"),
        pytest.param("SELECT VALUE COUNT(1) FROM c ORDER BY c.quantity", [4], id="one aggregate in any order"),
        pytest.param("SELECT DISTINCT VALUE c.cartId FROM c", ["a", "b"], id="distinct value"),
        pytest.param("SELECT DISTINCT c.cartId, c.item FROM c WHERE c.item = 'Pen'", [{"cartId": "a", "item": "Pen"}, {"cartId": "b", "item": "Pen"}], id="distinct rows"),
        pytest.param("SELECT DISTINCT TOP 2 VALUE c.cartId FROM c", ["a", "b"], id="distinct before top"),
        pytest.param("SELECT DISTINCT VALUE c.item FROM c ORDER BY c.item DESC", ["Pen", "Cup", "Book"], id="distinct in order"),
        pytest.param("SELECT DISTINCT VALUE c.cartId FROM c OFFSET 1 LIMIT 1", ["b"], id="distinct before window"),
    ],
)  # fmt: skip
def test_top_and_distinct(query: str, expected: list[Any]) -> None:
    assert run(query, n=3) == expected


def test_distinct_tells_types_apart() -> None:
    documents = [{"v": v} for v in (1, 1.0, True, "1", [1], [True], {"a": 1}, {"a": 1.0}, None)]
    assert run("SELECT DISTINCT VALUE c.v FROM c", documents) == [
        1,
        True,
        "1",
        [1],
        [True],
        {"a": 1},
        None,
    ]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("SELECT VALUE COUNT(1) FROM c", [4], id="count"),
        pytest.param("SELECT COUNT(1) FROM c", [{"$1": 4}], id="count without VALUE"),
        pytest.param("SELECT COUNT(1) AS n FROM c", [{"n": 4}], id="count as"),
        pytest.param("SELECT VALUE COUNT(c.price) FROM c", [3], id="count of defined"),
        pytest.param("SELECT VALUE COUNT(c.note) FROM c", [1], id="count of null"),
        pytest.param("SELECT VALUE COUNT(1) FROM c WHERE false", [0], id="count of nothing"),
        pytest.param("SELECT VALUE COUNTIF(c.quantity = 2) FROM c", [2], id="countif"),
        pytest.param("SELECT VALUE SUM(c.quantity) FROM c", [13], id="sum"),
        pytest.param("SELECT VALUE SUM(c.price) FROM c WHERE c.cartId = 'a'", [21.5], id="sum of fractions"),
        pytest.param("SELECT VALUE SUM(c.price) FROM c", [], id="sum over text is undefined"),
        pytest.param("SELECT VALUE SUM(c.zz) FROM c", [0], id="sum of nothing"),
        pytest.param("SELECT VALUE AVG(c.quantity) FROM c", [3.25], id="avg"),
        pytest.param("SELECT VALUE AVG(c.quantity) FROM c WHERE c.item = 'Pen'", [2], id="avg is whole"),
        pytest.param("SELECT VALUE AVG(c.zz) FROM c", [], id="avg of nothing"),
        pytest.param("SELECT AVG(c.zz) AS a, COUNT(1) AS n FROM c", [{"n": 4}], id="undefined avg left out"),
        pytest.param("SELECT VALUE MIN(c.item) FROM c", ["Book"], id="min"),
        pytest.param("SELECT VALUE MAX(c.price) FROM c", ["9"], id="max across types"),
        pytest.param("SELECT VALUE MIN(c.note) FROM c", [None], id="min of null"),
        pytest.param("SELECT VALUE MAX(c.tags) FROM c", [], id="max over arrays is undefined"),
        pytest.param("SELECT MIN(c.quantity) AS lo, MAX(c.quantity) AS hi FROM c", [{"lo": 1, "hi": 8}], id="two"),
        pytest.param("SELECT VALUE MAX(c.quantity) - MIN(c.quantity) FROM c", [7], id="arithmetic"),
        pytest.param("SELECT VALUE {n: COUNT(1), k: 'x'} FROM c", [{"n": 4, "k": "x"}], id="object"),
        pytest.param("SELECT VALUE SUM(c.quantity * 2) FROM c", [26], id="expression"),
        pytest.param("SELECT VALUE COUNT(1) FROM c JOIN t IN c.tags", [3], id="join"),
        pytest.param("SELECT VALUE COUNT(1) FROM (SELECT VALUE 1) x", None, id="container must come first"),
        pytest.param("SELECT c.cartId FROM c GROUP BY c.cartId", [{"cartId": "a"}, {"cartId": "b"}], id="group"),
        pytest.param("SELECT c.cartId, SUM(c.quantity) AS q FROM c GROUP BY c.cartId", [{"cartId": "a", "q": 10}, {"cartId": "b", "q": 3}], id="group sum"),
        pytest.param("SELECT VALUE c.cartId || '!' FROM c GROUP BY c.cartId", ["a!", "b!"], id="expression over key"),
        pytest.param("SELECT UPPER(c.item) AS i, COUNT(1) AS n FROM c GROUP BY UPPER(c.item)", [{"i": "PEN", "n": 2}, {"i": "BOOK", "n": 1}, {"i": "CUP", "n": 1}], id="key is an expression"),
        pytest.param("SELECT c.cartId, c.item FROM c WHERE c.cartId = 'a' GROUP BY c.item, c.cartId", [{"cartId": "a", "item": "Pen"}, {"cartId": "a", "item": "Book"}], id="two keys"),
        pytest.param("SELECT c.note, COUNT(1) AS n FROM c GROUP BY c.note", [{"n": 3}, {"note": None, "n": 1}], id="undefined is a group"),
        pytest.param("SELECT COUNT(1) AS n FROM c WHERE false GROUP BY c.cartId", [], id="no rows, no groups"),
        pytest.param("SELECT VALUE COUNT(1) FROM c GROUP BY c.item OFFSET 1 LIMIT 1", [1], id="window over groups"),
        pytest.param("SELECT VALUE MIN(c['quantity']) FROM c GROUP BY c.cartId", [2, 1], id="aggregate alone per group"),
    ],
)  # fmt: skip
def test_aggregates_and_groups(query: str, expected: list[Any] | None) -> None:
    if expected is None:
        with pytest.raises(Exception, match=r"FROM \(SELECT ...\) is not supported"):
            run(query)
    else:
        assert run(query) == expected


def test_many_alternatives_make_no_deep_tree() -> None:
    """As the SDK asks for many items at once: one long OR list."""
    parameters = {f"p{number}": str(number) for number in range(1, 1001)}
    listed = " OR ".join(f"(c.id = @{name} AND c.cartId = 'b')" for name in parameters)
    assert ids(f"SELECT * FROM c WHERE ({listed})", **parameters) == "3,4"


@pytest.mark.parametrize(
    "condition",
    [
        pytest.param("(c.k = @{n} AND c.v > {n})", id="keyed"),
        pytest.param("c.k = @{n}", id="keyed alone"),
        pytest.param("(c.v > {n} AND c.k = @{n})", id="another first condition"),
        pytest.param("(c.k = @{n} OR c.v > {n})", id="alternatives within"),
        pytest.param("(c.k = {n} AND c.v > {n})", id="numbers"),
        pytest.param("c.{path} = @{n}", id="two paths"),
    ],
)
def test_many_alternatives_mean_what_few_mean(condition: str) -> None:
    """The long list takes a short cut; taken one by one, three-valued, it gives the same."""
    documents = [
        {"k": k, "v": v} for k in ("1", "3", "none", 1, None) for v in (0, 2, "x", "4")
    ] + [{"v": 9}]
    numbers = [*range(9), 3]
    parts = [condition.format(n=number, path="kv"[number % 2 == 0]) for number in numbers]
    parameters = {str(number): str(number) for number in numbers}
    query = "SELECT VALUE [{0}, IS_DEFINED({0})] FROM c"
    together = run(query.format(" OR ".join(parts)), documents, **parameters)
    halves = [" OR ".join(parts[:5]), " OR ".join(parts[5:])]
    assert together == run(query.format("({}) OR ({})".format(*halves)), documents, **parameters)


def test_whole_documents_are_handed_out_as_they_are() -> None:
    [found] = run("SELECT * FROM c WHERE c.id = '2'")
    assert found is CARTS[1]


def test_a_compiled_query_runs_again_and_again() -> None:
    query = compile_query("SELECT VALUE COUNT(1) FROM c")
    assert [query.run(CARTS), query.run(CARTS[:1]), query.run([])] == [[4], [1], [0]]


def test_documents_are_read_lazily() -> None:
    def endless() -> Any:
        while True:
            yield {"id": "1"}

    assert compile_query("SELECT TOP 2 VALUE c.id FROM c").run(endless()) == ["1", "1"]
