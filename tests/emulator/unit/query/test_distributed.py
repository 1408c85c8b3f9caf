"""Query plans, and the text of a tree.

Source of the rewritten forms: the query plan baselines in the tests of azure-cosmos-dotnet-v3
(QueryPlanBaselineTests: OrderBy, MultiOrderBy, Aggregates, NonValueAggregates, GroupBy, Distinct, Top,
OffsetLimit, PointRange, ManyRanges).
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings

from cosmos_emulator.query import DistributedQuery, QueryError, distributed
from cosmos_emulator.query.parser import parse_query
from cosmos_emulator.query.written import written_select
from tests.emulator.unit.query.test_properties import EXAMPLES, sentences

FILTER = "({documentdb-formattableorderbyquery-filter})"


def planned(text: str, *paths: str, one_key: bool = False, **parameters: Any) -> DistributedQuery:
    sent = [{"name": f"@{name}", "value": value} for name, value in parameters.items()]
    key_paths = [path.split("/") for path in paths or ("key",)]
    return distributed(text, sent, key_paths, one_key=one_key, now_seconds=lambda: 0.0)


@pytest.mark.parametrize(
    ("query", "rewritten"),
    [
        ("SELECT * FROM c", ""),
        ("SELECT TOP 5 * FROM c WHERE c.blah = 5", ""),
        ("SELECT DISTINCT c.blah FROM c", ""),
        (
            "SELECT * FROM Root r ORDER BY r.blah",
            (
                'SELECT r._rid, [{"item": r.blah}] AS orderByItems, r AS payload\n'
                f"FROM Root AS r\nWHERE {FILTER}\nORDER BY r.blah"
            ),
        ),
        (
            "SELECT TOP 70 r['a'] FROM Root r WHERE r.key > 1 ORDER BY r.key DESC, r.x",
            (
                'SELECT TOP 70 r._rid, [{"item": r.key}, {"item": r.x}] AS orderByItems, '
                '{"a": r.a} AS payload\n'
                f"FROM Root AS r\nWHERE ((r.key > 1) AND {FILTER})\nORDER BY r.key DESC, r.x"
            ),
        ),
        (
            "SELECT VALUE r.a FROM r WHERE r.d = true ORDER BY r.b",
            (
                'SELECT r._rid, [{"item": r.b}] AS orderByItems, r.a AS payload\n'
                f"FROM r\nWHERE (((r.d = true) AND {FILTER}) AND IS_DEFINED(r.a))\nORDER BY r.b"
            ),
        ),
        ("SELECT * FROM c OFFSET 1 LIMIT 2", "SELECT *\nFROM c\nOFFSET 0 LIMIT 3"),
        (
            "SELECT VALUE AVG(c.blah) FROM c",
            'SELECT VALUE [{"item": {"sum": SUM(c.blah), "count": COUNT(c.blah)}}]\nFROM c',
        ),
        (
            "SELECT VALUE MIN(c.blah + 1) FROM c",
            (
                'SELECT VALUE [{"item": MIN((c.blah + 1)), '
                '"item2": {"min": MIN((c.blah + 1)), "count": COUNT((c.blah + 1))}}]\nFROM c'
            ),
        ),
        (
            "SELECT VALUE COUNT(1) FROM c WHERE c.key = 5 OFFSET 1 LIMIT 2",
            'SELECT VALUE [{"item": COUNT(1)}]\nFROM c\nWHERE (c.key = 5)',
        ),
        (
            "SELECT COUNT(c.blah), MAX(c.blah) AS m FROM c",
            (
                'SELECT {"$1": {"item": COUNT(c.blah)}, "m": {"item": MAX(c.blah), '
                '"item2": {"max": MAX(c.blah), "count": COUNT(c.blah)}}} AS payload\nFROM c'
            ),
        ),
        (
            "SELECT UPPER(c.name) AS name, AVG(c.income) AS income FROM c GROUP BY UPPER(c.name)",
            (
                'SELECT [{"item": UPPER(c.name)}] AS groupByItems, {"name": UPPER(c.name), '
                '"income": {"item": {"sum": SUM(c.income), "count": COUNT(c.income)}}} AS payload\n'
                "FROM c\nGROUP BY UPPER(c.name)"
            ),
        ),
        (
            "SELECT TOP 5 VALUE COUNT(1) FROM c GROUP BY c.age",
            (
                'SELECT [{"item": c.age}] AS groupByItems, [{"item": COUNT(1)}] AS payload\n'
                "FROM c\nGROUP BY c.age"
            ),
        ),
        ("SELECT DISTINCT TOP 5 VALUE c.name FROM c", "SELECT DISTINCT VALUE c.name\nFROM c"),
        (
            "SELECT * FROM Root r WHERE r.key = 'key' ORDER BY r.key",  # one partition: as it is
            "",
        ),
    ],
)
def test_the_rewritten_query_is_the_services(query: str, rewritten: str) -> None:
    assert planned(query).info["rewrittenQuery"] == rewritten


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("SELECT TOP 5 * FROM c WHERE c.key = 5", {"top": 5}),
        ("SELECT * FROM c WHERE c.key = 5 OFFSET 1 LIMIT 2", {"offset": None, "limit": None}),
        ("SELECT * FROM c OFFSET @o LIMIT @l", {"offset": 42, "limit": 1337}),
        ("SELECT * FROM c ORDER BY c.a, c.b DESC", {"orderBy": ["Ascending", "Descending"]}),
        ("SELECT DISTINCT VALUE c.a FROM c ORDER BY c.a", {"distinctType": "Ordered"}),
        ("SELECT DISTINCT c.a, c.b FROM c ORDER BY c.a", {"distinctType": "Unordered"}),
        ("SELECT VALUE AVG(c.a) FROM c", {"aggregates": ["Average"], "hasSelectValue": True}),
        (
            "SELECT c.a, SUM(c.b) AS s, COUNTIF(c.b) FROM c GROUP BY c.a",
            {
                "aggregates": [],
                "groupByAliases": ["a", "s", "$1"],
                "groupByExpressions": ["c.a"],
                "groupByAliasToAggregateType": {"a": None, "s": "Sum", "$1": "CountIf"},
            },
        ),
        ("SELECT VALUE COUNT(1) FROM c ORDER BY c.a", {"orderBy": [], "aggregates": ["Count"]}),
    ],
)
def test_the_client_is_told_how_to_join_the_rows(query: str, told: dict[str, Any]) -> None:
    info = planned(query, o=42, l=1337).info
    assert {name: info[name] for name in told} == told


@pytest.mark.parametrize(
    ("condition", "keys"),
    [
        ("c.key = 5", [(5,)]),
        ("'a' = c.key AND c.n > 1", [("a",)]),
        ("c.key = null OR c.key IN (true, -1)", [(None,), (True,), (-1,)]),
        ("c.key IN (1, 1.0, @p)", [(1,), ("p",)]),
        ("c.key = 1 AND c.key = 2", []),
        ("c.key = 1 OR c.n = 2", None),
        ("c.key > 1", None),
        ("NOT c.key = 1", None),
        ("c.key = []", None),
        ("c.key = undefined", None),
        ("c.key.x = 1", None),
        ("c.key = c.n", None),
    ],
)
def test_a_filter_pins_the_keys_that_it_names(condition: str, keys: Any) -> None:
    assert planned(f"SELECT * FROM c WHERE {condition}", p="p").keys == keys


def test_hierarchical_keys_are_pinned_from_the_left() -> None:
    def keys(condition: str) -> Any:
        return planned(f"SELECT * FROM c WHERE {condition}", "a", "b").keys

    assert keys("c.a = 1 AND c.b IN (2, 3)") == [(1, 2), (1, 3)]
    assert keys("c.a = 1") == [(1,)]
    assert keys("c.b = 1") is None


def test_the_key_of_an_element_is_not_the_documents() -> None:
    assert planned("SELECT * FROM c IN c.items WHERE c.key = 1").keys is None


def test_an_element_is_sorted_beside_its_document() -> None:
    rewritten = planned("SELECT VALUE t FROM t IN c.tags ORDER BY t.n").info["rewrittenQuery"]
    assert rewritten.startswith("SELECT _root._rid, ")
    assert "FROM _root JOIN t IN _root.tags" in rewritten


@pytest.mark.parametrize(
    "query",
    ["SELECT VALUE ABS(AVG(c.a)) FROM c", "SELECT VALUE {'n': COUNT(1)} FROM c", "SELECT", "x"],
)
def test_what_cannot_be_joined_is_refused(query: str) -> None:
    with pytest.raises(QueryError):
        planned(query)


@settings(max_examples=EXAMPLES)
@given(text=sentences.map("SELECT VALUE ".__add__))
@example("SELECT c['order'], c[\"a'b\"] AS x, -c.a FROM c JOIN (SELECT VALUE 1) AS s WHERE NOT c.b")
@example("SELECT VALUE {'a': [1, 2][c.x]} FROM t IN c.a WHERE t LIKE 'a%' ESCAPE '\\\\' AND a ?? b")
@example("SELECT a - b - c, (a - (b - c)) FROM c WHERE a BETWEEN 1 AND 2 OR EXISTS(SELECT 1)")
@example("SELECT TOP 3 1 ? 2 : 3, udef, 'é\ud800' FROM c ORDER BY c.x DESC, c.y")
def test_what_is_written_is_read_as_the_same(text: str) -> None:
    with suppress(QueryError):
        tree = parse_query(text)
        assert parse_query(written_select(tree)) == tree
