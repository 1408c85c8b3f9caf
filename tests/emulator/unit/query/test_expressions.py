"""Every operator over values of every type, as one-row queries: `SELECT VALUE <expression>`."""

from __future__ import annotations

from typing import Any

import pytest

from cosmos_emulator.query import compile_query

UNDEFINED = "undefined"

DOCUMENT: dict[str, Any] = {
    "id": "1",
    "text": "Surface Pro",
    "two": 2,
    "half": 0.5,
    "yes": True,
    "no": False,
    "nothing": None,
    "list": [1, "b", None, {"x": 1}],
    "object": {"x": 1, "y": {"z": "deep"}},
    "odd name": "spaced",
    "order": "reserved",
    "key": "two",
}


def value_of(expression: str, **parameters: Any) -> Any:
    given = [{"name": f"@{name}", "value": value} for name, value in parameters.items()]
    found = compile_query(f"SELECT VALUE {expression} FROM c", given).run([DOCUMENT])
    return found[0] if found else UNDEFINED


def cases(table: str) -> list[Any]:
    """Rows of `expression -> value` as test parameters that bear the expression as their id."""
    split = [line.rsplit(" -> ", 1) for line in table.strip().splitlines() if line.strip()]
    return [
        pytest.param(expression.strip(), expected.strip(), id=f"{expression.strip()}")
        for expression, expected in split
    ]


def plain(text: str) -> Any:
    names = {"true": True, "false": False, "null": None, "undefined": UNDEFINED}
    return eval(text, {"__builtins__": {}}, names)  # noqa: S307  the tables below


LITERALS = r"""
1 -> 1
1.5 -> 1.5
.5 -> 0.5
1. -> 1.0
1e3 -> 1000.0
1E-2 -> 0.01
0x1F -> 31
-3 -> -3
- -3 -> 3
+3 -> 3
"double" -> "double"
'single' -> "single"
'it\'s' -> "it's"
"tab\tnew\nline\\" -> "tab\tnew\nline\\"
'\u00e9' -> "é"
'\ud83d\ude00' -> "😀"
'\/' -> "/"
'' -> ""
true -> true
FALSE -> false
null -> null
undefined -> undefined
[] -> []
[1, 'a', [2]] -> [1, "a", [2]]
[1, undefined, c.missing] -> [1]
{} -> {}
{"a": 1, 'b': {c: 2}} -> {"a": 1, "b": {"c": 2}}
{"a": undefined, "b": null} -> {"b": null}
"""

PATHS = """
c.text -> "Surface Pro"
c["text"] -> "Surface Pro"
c['odd name'] -> "spaced"
c["order"] -> "reserved"
c.object.y.z -> "deep"
c["object"]["y"].z -> "deep"
c.list[0] -> 1
c.list[3].x -> 1
c.list[4] -> undefined
c.list[-1] -> undefined
c.list["0"] -> undefined
c.list.length -> undefined
c.object[0] -> undefined
c.missing -> undefined
c.missing.deeper -> undefined
c.text.length -> undefined
c.Text -> undefined
c[c.key] -> 2
c["te" || "xt"] -> "Surface Pro"
c[undefined] -> undefined
{"a": {"b": 7}}.a.b -> 7
[5, 6][1] -> 6
(c.object).x -> 1
c.nothing -> null
"""

COMPARISONS = """
1 = 1 -> true
1 = 1.0 -> true
1 = 2 -> false
'a' = 'a' -> true
'a' = 'A' -> false
1 = '1' -> undefined
1 = true -> undefined
null = null -> true
null = 0 -> undefined
undefined = undefined -> undefined
undefined = 1 -> undefined
c.missing = c.missing -> undefined
[1, {"a": 2}] = [1, {"a": 2}] -> true
[1, true] = [1, 1] -> false
{"a": 1, "b": 2} = {"b": 2, "a": 1} -> true
{"a": 1} = {"a": 2} -> false
[1] = {"a": 1} -> undefined
1 != 2 -> true
1 <> 2 -> true
'a' != 'a' -> false
null != null -> false
1 != 'a' -> undefined
[1] != [2] -> undefined
c.missing != 1 -> undefined
1 < 2 -> true
2 <= 2 -> true
2 > 2 -> false
2 >= 3 -> false
'a' < 'b' -> true
'B' < 'a' -> true
false < true -> true
null <= null -> true
null < null -> false
1 < 'a' -> undefined
[1] < [2] -> undefined
{} >= {} -> undefined
c.missing < 1 -> undefined
1 < 2 = true -> true
true = 1 < 2 -> true
"""

LOGIC = """
true AND true -> true
true AND false -> false
false AND undefined -> false
undefined AND false -> false
true AND undefined -> undefined
true AND 1 -> undefined
false AND 1 -> false
true OR undefined -> true
undefined OR true -> true
false OR undefined -> undefined
false OR false -> false
false OR null -> undefined
NOT true -> false
NOT undefined -> undefined
NOT 1 -> undefined
NOT NOT true -> true
NOT 1 = 2 -> true
NOT false AND false -> false
true OR false AND false -> true
(true OR false) AND false -> false
false OR NOT c.no -> true
1 = 1 AND 'a' = 'a' AND c.yes -> true
"""

ARITHMETIC = """
1 + 2 -> 3
1 + 2 * 3 -> 7
(1 + 2) * 3 -> 9
10 - 3 - 2 -> 5
2 * 3 % 4 -> 2
7 / 2 -> 3.5
4 / 2 -> 2
0.5 + 0.5 -> 1
1 / 0 -> undefined
1 % 0 -> undefined
-7 % 3 -> -1
7 % -3 -> 1
7.5 % 2 -> 1.5
-c.two -> -2
-'a' -> undefined
1 + '1' -> undefined
1 + true -> undefined
1 + null -> undefined
1 + c.missing -> undefined
1e308 * 10 -> undefined
9007199254740993 + 0 -> 9007199254740993
'a' || 'b' || 'c' -> "abc"
'a' || 1 -> undefined
'a' || 'b' = 'ab' -> true
6 & 3 -> 2
6 | 1 -> 7
6 ^ 3 -> 5
~0 -> -1
1 << 31 -> -2147483648
100 >> 2 -> 25
-1 >>> 0 -> 4294967295
~'a' -> undefined
1 & 'a' -> undefined
"""

PREDICATES = r"""
2 IN (1, 2, 3) -> true
5 IN (1, 2, 3) -> false
'a' IN ('a', 'b') -> true
'c' IN ('a', 'b') -> false
1 IN ('a', 'b') -> undefined
1 IN ('a', 1) -> true
1 IN ('a', 2) -> undefined
c.missing IN (1) -> undefined
2 NOT IN (1, 2) -> false
9 NOT IN (1, 2) -> true
[1] IN ([1], [2]) -> true
c.two IN (c.two) -> true
2 IN (1, 2) = true -> true
2 BETWEEN 1 AND 3 -> true
1 BETWEEN 1 AND 1 -> true
0 BETWEEN 1 AND 3 -> false
2 NOT BETWEEN 1 AND 3 -> false
2 BETWEEN 1 AND 3 AND false -> false
'b' BETWEEN 'a' AND 'c' -> true
'b' BETWEEN 1 AND 3 -> undefined
0 BETWEEN 1 AND 'a' -> false
c.missing BETWEEN 1 AND 2 -> undefined
'hello' LIKE 'h%' -> true
'hello' LIKE '%ell%' -> true
'hello' LIKE 'h_llo' -> true
'hello' LIKE 'H%' -> false
'hello' LIKE 'hello' -> true
'hello' LIKE 'hell' -> false
'hello' NOT LIKE 'h%' -> false
'hello' LIKE '%%l%o' -> true
'hello' LIKE '%l%l%l%' -> false
'hello' LIKE 'h%_%o' -> true
'ho' LIKE 'h%_%o' -> false
'aab' LIKE '%ab' -> true
'aab' LIKE 'a%' -> true
'h3' LIKE 'h[0-9]' -> true
'hx' LIKE 'h[^0-9]' -> true
'h3' LIKE 'h[^0-9]' -> false
'a.b' LIKE 'a.b' -> true
'axb' LIKE 'a.b' -> false
'100%' LIKE '100!%' ESCAPE '!' -> true
'1000' LIKE '100!%' ESCAPE '!' -> false
'a[b' LIKE 'a[b' -> true
'[z-a]' LIKE '[z-a]' -> true
'a]' LIKE '[]]' -> false
'a\nb' LIKE 'a%b' -> true
1 LIKE '1' -> undefined
'1' LIKE 1 -> undefined
"""

CHOICES = """
true ? 1 : 2 -> 1
false ? 1 : 2 -> 2
undefined ? 1 : 2 -> 2
1 ? 1 : 2 -> 2
false ? 1 : true ? 2 : 3 -> 2
c.yes ? c.text : c.missing -> "Surface Pro"
c.no ? 1 : c.missing -> undefined
c.missing ?? 1 -> 1
c.nothing ?? 1 -> null
c.missing ?? c.gone ?? 'last' -> "last"
c.missing ?? c.gone -> undefined
c.missing ?? 1 = 1 ? 'x' : 'y' -> "x"
"""


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        case
        for table in (LITERALS, PATHS, COMPARISONS, LOGIC, ARITHMETIC, PREDICATES, CHOICES)
        for case in cases(table)
    ],
)
def test_expression_has_the_value(expression: str, expected: str) -> None:
    found = value_of(expression)
    assert found == plain(expected)
    assert isinstance(found, bool) == isinstance(plain(expected), bool)


@pytest.mark.parametrize(
    ("expression", "parameters", "expected"),
    [
        pytest.param("@x", {"x": 5}, 5, id="alone"),
        pytest.param("@x", {"x": None}, None, id="null"),
        pytest.param("c.two = @x", {"x": 2.0}, True, id="compared"),
        pytest.param("c.text IN (@a, @b)", {"a": "n", "b": "Surface Pro"}, True, id="in"),
        pytest.param("c[@x]", {"x": "two"}, 2, id="property"),
        pytest.param("c.list[@x]", {"x": 1}, "b", id="index"),
        pytest.param("ARRAY_CONTAINS(@x, c.two)", {"x": [1, 2]}, True, id="array"),
        pytest.param("@X", {"X": 1, "x": 2}, 1, id="case matters"),
        pytest.param("~@x", {"x": float("inf")}, UNDEFINED, id="infinity has no bits"),
        pytest.param("@x + 1", {"x": float("nan")}, UNDEFINED, id="nothing computes from NaN"),
        pytest.param("@x + 0.5", {"x": 10**400}, UNDEFINED, id="beyond a double"),
        pytest.param("@x * @x", {"x": 10**200}, UNDEFINED, id="an integer beyond a double"),
        pytest.param("@x.a", {"x": {"a": 1}}, 1, id="path of a parameter"),
    ],
)
def test_parameters_stand_for_their_values(
    expression: str, parameters: dict[str, Any], expected: Any
) -> None:
    assert value_of(expression, **parameters) == expected


def test_constant_and_computed_operands_agree() -> None:
    """A constant is folded when compiling; the same value from a document is not."""
    for name in ("text", "two", "half", "yes", "nothing", "list", "object", "missing"):
        for operator in ("=", "!=", "<", ">=", "+", "%", "||", "&", "AND", "OR", "??"):
            written = value_of(f"@x {operator} @x", x=DOCUMENT[name]) if name in DOCUMENT else None
            if name in DOCUMENT:
                assert value_of(f"c.{name} {operator} c.{name}") == written
            assert value_of(f"c.{name} {operator} undefined") == value_of(
                f"c.{name} {operator} c.gone"
            )
