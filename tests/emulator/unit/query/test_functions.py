"""Every function: its result, what it makes of values that do not fit, and its arity."""

from __future__ import annotations

from typing import Any

import pytest

from cosmos_emulator.query import QueryError, compile_query
from cosmos_emulator.query.expressions import _FUNCTIONS

UNDEFINED = "undefined"
DOCUMENT: dict[str, Any] = {"text": "Surface Pro", "two": 2, "list": [1, 2, {"a": 1, "b": 2}]}


def value_of(expression: str) -> Any:
    found = compile_query(f"SELECT VALUE {expression} FROM c").run([DOCUMENT])
    return found[0] if found else UNDEFINED


def rows(table: list[tuple[str, Any]]) -> list[Any]:
    return [pytest.param(expression, expected, id=expression) for expression, expected in table]


TEXT: list[tuple[str, Any]] = [
    ("STARTSWITH(c.text, 'Sur')", True),
    ("STARTSWITH(c.text, 'sur')", False),
    ("STARTSWITH(c.text, 'sur', true)", True),
    ("STARTSWITH(c.text, 'sur', false)", False),
    ("STARTSWITH(c.text, 'sur', 1)", UNDEFINED),
    ("STARTSWITH(c.text, '')", True),
    ("STARTSWITH(c.two, '2')", UNDEFINED),
    ("STARTSWITH(c.missing, 'a')", UNDEFINED),
    ("startswith(c.text, 'Sur')", True),
    ("ENDSWITH(c.text, 'Pro')", True),
    ("EndsWith(c.text, 'PRO', true)", True),
    ("ENDSWITH(c.text, 'PRO')", False),
    ("CONTAINS(c.text, 'face')", True),
    ("CONTAINS(c.text, 'FACE')", False),
    ("CONTAINS(c.text, 'FACE', true)", True),
    ("CONTAINS(null, 'a')", UNDEFINED),
    ("STRINGEQUALS('a', 'A')", False),
    ("STRINGEQUALS('a', 'A', true)", True),
    ("StringEquals('a', 'a')", True),
    ("STRINGEQUALS(null, null)", UNDEFINED),
    ("LOWER('AbC')", "abc"),
    ("LOWER(1)", UNDEFINED),
    ("UPPER('AbC')", "ABC"),
    ("LENGTH('abc')", 3),
    ("LENGTH('')", 0),
    ("LENGTH([1])", UNDEFINED),
    ("CONCAT('a', 'b', 'c')", "abc"),
    ("CONCAT('a', 1)", UNDEFINED),
    ("CONCAT('a', c.missing)", UNDEFINED),
    ("SUBSTRING('abcdef', 1, 3)", "bcd"),
    ("SUBSTRING('abc', 1, 99)", "bc"),
    ("SUBSTRING('abc', 9, 1)", ""),
    ("SUBSTRING('abc', -2, 2)", "ab"),
    ("SUBSTRING('abc', 0, -1)", ""),
    ("SUBSTRING('abc', 1.0, 1)", "b"),
    ("SUBSTRING('abc', 0.5, 1)", UNDEFINED),
    ("SUBSTRING('abc', 'a', 1)", UNDEFINED),
    ("LEFT('abc', 2)", "ab"),
    ("LEFT('abc', 9)", "abc"),
    ("RIGHT('abc', 2)", "bc"),
    ("RIGHT('abc', 0)", ""),
    ("RIGHT('abc', 9)", "abc"),
    ("RIGHT(1, 2)", UNDEFINED),
    ("TRIM('  a ')", "a"),
    ("LTRIM('  a ')", "a "),
    ("RTRIM('  a ')", "  a"),
    ("TRIM(1)", UNDEFINED),
    ("REPLACE('a-b-c', '-', '+')", "a+b+c"),
    ("REPLACE('abc', '', 'x')", "abc"),
    ("REPLACE('abc', 1, 'x')", UNDEFINED),
    ("INDEX_OF('abcabc', 'b')", 1),
    ("INDEX_OF('abcabc', 'b', 2)", 4),
    ("INDEX_OF('abc', 'z')", -1),
    ("INDEX_OF(1, 'z')", UNDEFINED),
    ("REVERSE('abc')", "cba"),
    ("REPLICATE('ab', 3)", "ababab"),
    ("REPLICATE('ab', -1)", UNDEFINED),
    ("REPLICATE('ab', 5001)", UNDEFINED),
    ("REPLICATE('', 99999999999999999999)", UNDEFINED),
    ("REGEXMATCH('abc', '^a.c$')", True),
    ("REGEXMATCH('ABC', '^a', 'i')", True),
    ("REGEXMATCH('ABC', '^a', 'q')", UNDEFINED),
    ("REGEXMATCH(1, '1')", UNDEFINED),
    ("TOSTRING(1)", "1"),
    ("TOSTRING(2.0)", "2"),
    ("TOSTRING(1.5)", "1.5"),
    ("TOSTRING(true)", "true"),
    ("TOSTRING(null)", "null"),
    ("TOSTRING('a')", "a"),
    ("ToString({\"a\": [1, 'é']})", '{"a":[1,"é"]}'),
    ("TOSTRING(undefined)", UNDEFINED),
    ("STRINGTONUMBER('1.5')", 1.5),
    ("STRINGTONUMBER('1e400')", UNDEFINED),
    ("STRINGTONUMBER('NaN')", UNDEFINED),
    ("STRINGTONUMBER('x')", UNDEFINED),
    ("STRINGTONUMBER(1)", UNDEFINED),
    ("STRINGTOBOOLEAN('true')", True),
    ("STRINGTOBOOLEAN('1')", UNDEFINED),
    ("STRINGTONULL('null')", None),
    ("STRINGTOARRAY('[1]')", [1]),
    ("STRINGTOOBJECT('{\"a\":1}')", {"a": 1}),
    ("STRINGJOIN(['a', 'b'], '-')", "a-b"),
    ("STRINGJOIN(['a', 1], '-')", UNDEFINED),
    ("STRINGJOIN('a', '-')", UNDEFINED),
    ("STRINGSPLIT('a-b', '-')", ["a", "b"]),
    ("STRINGSPLIT('ab', '')", ["a", "b"]),
]

NUMBERS: list[tuple[str, Any]] = [
    ("ABS(-1.5)", 1.5),
    ("ABS('a')", UNDEFINED),
    ("FLOOR(1.9)", 1),
    ("FLOOR(-1.1)", -2),
    ("CEILING(1.1)", 2),
    ("CEILING(true)", UNDEFINED),
    ("ROUND(2.5)", 3),
    ("ROUND(-2.5)", -3),
    ("ROUND(2.4)", 2),
    ("ROUND(0.49999999999999994)", 0),
    ("ROUND(c.two)", 2),
    ("ROUND(null)", UNDEFINED),
    ("TRUNC(-1.9)", -1),
    ("SIGN(-3)", -1),
    ("SIGN(0)", 0),
    ("SQRT(9)", 3),
    ("SQRT(-1)", UNDEFINED),
    ("SQUARE(3)", 9),
    ("POWER(2, 10)", 1024),
    ("POWER(10, 400)", UNDEFINED),
    ("EXP(0)", 1),
    ("LOG(1)", 0),
    ("LOG(8, 2)", 3),
    ("LOG(0)", UNDEFINED),
    ("LOG10(1000)", 3),
    ("FLOOR(PI() * 100)", 314),
    ("SIN(0)", 0),
    ("COS(0)", 1),
    ("TAN(0)", 0),
    ("ROUND(COT(0.5) * 100)", 183),
    ("COT(0)", UNDEFINED),
    ("ASIN(0)", 0),
    ("ACOS(1)", 0),
    ("ATAN(0)", 0),
    ("ATN2(0, 1)", 0),
    ("DEGREES(0)", 0),
    ("RADIANS(0)", 0),
]

TYPES: list[tuple[str, Any]] = [
    ("IS_DEFINED(c.text)", True),
    ("IS_DEFINED(c.missing)", False),
    ("IS_DEFINED(null)", True),
    ("is_defined(c.missing.deeper)", False),
    ("IS_NULL(null)", True),
    ("IS_NULL(c.missing)", False),
    ("IS_STRING('')", True),
    ("IS_STRING(1)", False),
    ("IS_NUMBER(1)", True),
    ("IS_NUMBER(1.5)", True),
    ("IS_NUMBER(true)", False),
    ("IS_BOOL(false)", True),
    ("IS_BOOL(0)", False),
    ("IS_BOOLEAN(true)", True),
    ("IS_BOOLEAN(null)", False),
    ("IS_ARRAY([])", True),
    ("IS_ARRAY({})", False),
    ("IS_ARRAY(undefined)", False),
    ("IS_OBJECT({})", True),
    ("IS_OBJECT(null)", False),
    ("IS_PRIMITIVE(null)", True),
    ("IS_PRIMITIVE([])", False),
    ("IS_INTEGER(2)", True),
    ("IS_INTEGER(2.0)", True),
    ("IS_INTEGER(2.5)", False),
    ("IS_INTEGER('2')", False),
    ("IS_FINITE_NUMBER(2)", True),
    ("IS_FINITE_NUMBER('2')", False),
]

STRUCTURES: list[tuple[str, Any]] = [
    ("ARRAY_CONTAINS(c.list, 2)", True),
    ("ARRAY_CONTAINS(c.list, 2.0)", True),
    ("ARRAY_CONTAINS(c.list, true)", False),
    ("ARRAY_CONTAINS(c.list, 3)", False),
    ("ARRAY_CONTAINS(c.list, {'a': 1})", False),
    ("ARRAY_CONTAINS(c.list, {'a': 1}, true)", True),
    ("ARRAY_CONTAINS(c.list, {'a': 2}, true)", False),
    ("ARRAY_CONTAINS(c.list, {'b': 2, 'a': 1})", True),
    ("ARRAY_CONTAINS(c.text, 'S')", UNDEFINED),
    ("ARRAY_CONTAINS(c.list, c.missing)", UNDEFINED),
    ("ARRAY_CONTAINS(c.list, 1, 'x')", UNDEFINED),
    ("ARRAY_LENGTH(c.list)", 3),
    ("ARRAY_LENGTH(c.text)", UNDEFINED),
    ("ARRAY_CONCAT([1], [2], [])", [1, 2]),
    ("ARRAY_CONCAT([1], 2)", UNDEFINED),
    ("ARRAY_SLICE([1, 2, 3], 1)", [2, 3]),
    ("ARRAY_SLICE([1, 2, 3], -2, 1)", [2]),
    ("ARRAY_SLICE([1, 2, 3], 0, -1)", []),
    ("ARRAY_SLICE('abc', 0)", UNDEFINED),
    ("ARRAY_CONTAINS_ANY([1, 2], 5, 2)", True),
    ("ARRAY_CONTAINS_ANY(1, 2)", UNDEFINED),
    ("ARRAY_CONTAINS_ALL([1, 2], 1, 2)", True),
    ("ARRAY_CONTAINS_ALL([1, 2], 1, 3)", False),
    ("SETINTERSECT([1, 2, 2], [2, 3])", [2]),
    ("SETUNION([1], 2)", UNDEFINED),
    ("OBJECTTOARRAY({'a': 1})", [{"k": "a", "v": 1}]),
    ("OBJECTTOARRAY([1])", UNDEFINED),
    ("CHOOSE(2, 'a', 'b')", "b"),
    ("CHOOSE(3, 'a', 'b')", UNDEFINED),
    ("IIF(true, 1, 2)", 1),
    ("IIF(1, 1, 2)", 2),
    ("TIMESTAMPTODATETIME(1606020000123)", "2020-11-22T04:40:00.1230000Z"),
    ("TIMESTAMPTODATETIME(1e30)", UNDEFINED),
    ("TIMESTAMPTODATETIME('a')", UNDEFINED),
    ("DATETIMETOTIMESTAMP('2020-11-22T04:40:00.1230000Z')", 1606020000123),
    ("DATETIMETOTIMESTAMP('2020-11-22T04:40:00Z')", 1606020000000),
    ("DATETIMETOTIMESTAMP('2020-13-22T04:40:00Z')", UNDEFINED),
    ("DATETIMETOTIMESTAMP('yesterday')", UNDEFINED),
]


@pytest.mark.parametrize(("expression", "expected"), rows(TEXT + NUMBERS + TYPES + STRUCTURES))
def test_function_gives(expression: str, expected: Any) -> None:
    found = value_of(expression)
    assert found == expected
    assert isinstance(found, bool) == isinstance(expected, bool)


def test_set_union_keeps_each_value_once() -> None:
    assert sorted(value_of("SETUNION([1, 2], [2, 3])")) == [1, 2, 3]


def test_a_bad_regular_expression_is_refused() -> None:
    with pytest.raises(QueryError, match="REGEXMATCH"):
        value_of("REGEXMATCH('a', '(')")


@pytest.mark.parametrize("name", sorted(_FUNCTIONS))
def test_arity_is_checked(name: str) -> None:
    fewest, most, _ = _FUNCTIONS[name]
    for number in {fewest - 1, most + 1} - {-1}:
        with pytest.raises(QueryError, match=f"{name} takes .* not {number}"):
            value_of(f"{name}({', '.join(['1'] * number)})")


@pytest.mark.parametrize("name", sorted(_FUNCTIONS))
def test_no_function_stumbles_over_any_values(name: str) -> None:
    fewest, most, apply = _FUNCTIONS[name]
    values: list[Any] = [None, True, -1, 10**40, 1e308, float("inf"), "a", "", [], [[]], {"a": 1}]
    for number in range(fewest, min(most, 3) + 1):
        for value in values:
            for other in values:
                apply(*([value] + [other] * 2)[:number])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("GetCurrentTimestamp", 1606020000500),
        ("GetCurrentTimestampStatic", 1606020000500),
        ("GetCurrentDateTime", "2020-11-22T04:40:00.5000000Z"),
        ("GetCurrentTicks", 637416168005000000),
    ],
)
def test_clock_functions_read_the_given_clock(name: str, expected: Any) -> None:
    query = compile_query(f"SELECT VALUE {name}()", now_seconds=lambda: 1606020000.5)
    assert query.run([]) == [expected]


def test_clock_is_read_at_each_run() -> None:
    times = iter([1.0, 2.0])
    query = compile_query("SELECT VALUE GetCurrentTimestamp()", now_seconds=lambda: next(times))
    assert [query.run([]), query.run([])] == [[1000], [2000]]


def test_clock_functions_are_refused_without_a_clock_and_with_arguments() -> None:
    with pytest.raises(QueryError, match="GETCURRENTTIMESTAMP is not supported here"):
        compile_query("SELECT VALUE GetCurrentTimestamp()")
    with pytest.raises(QueryError, match="GETCURRENTTICKS takes no arguments"):
        compile_query("SELECT VALUE GetCurrentTicks(1)", now_seconds=lambda: 0.0)
