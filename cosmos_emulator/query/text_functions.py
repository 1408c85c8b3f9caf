"""String functions. An argument of another type gives undefined.

Source: Cosmos DB documentation, string functions.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from cosmos_emulator.query import regexes
from cosmos_emulator.query.budget import bounded_text
from cosmos_emulator.query.values import (
    ARRAY,
    BOOLEAN,
    NULL,
    NUMBER,
    OBJECT,
    UNDEFINED,
    Value,
    number,
    rank,
)

_LONGEST_REPLICA: Final = 10_000


def whole(value: Value) -> int | None:
    """The value as an integer; None when it is no whole number."""
    if type(value) is int:
        return value
    return int(value) if type(value) is float and value.is_integer() else None


def _strings(apply: Callable[..., Value]) -> Callable[..., Value]:
    """For functions of strings alone."""

    @wraps(apply)
    def checked(*arguments: Value) -> Value:
        if all(type(argument) is str for argument in arguments):
            return apply(*arguments)
        return UNDEFINED

    return checked


def _matcher(test: Callable[[str, str], bool]) -> Callable[..., Value]:
    """A test of two strings with an optional flag that ignores case."""

    def matches(text: Value, other: Value, ignore_case: Value = False) -> Value:  # noqa: FBT002  an SQL argument
        if type(text) is not str or type(other) is not str or type(ignore_case) is not bool:
            return UNDEFINED
        return test(text.lower(), other.lower()) if ignore_case else test(text, other)

    return matches


def _substring(text: Value, start: Value, length: Value) -> Value:
    first, count = whole(start), whole(length)
    if type(text) is not str or first is None or count is None:
        return UNDEFINED
    first = max(first, 0)
    return text[first : first + max(count, 0)]


def _left(text: Value, length: Value) -> Value:
    return _substring(text, 0, length)


def _right(text: Value, length: Value) -> Value:
    count = whole(length)
    if type(text) is not str or count is None:
        return UNDEFINED
    return text[max(len(text) - count, 0) :] if count > 0 else ""


def _index_of(text: Value, part: Value, start: Value = 0) -> Value:
    first = whole(start)
    if type(text) is not str or type(part) is not str or first is None:
        return UNDEFINED
    return text.find(part, max(first, 0))


@_strings
def _replace(text: str, part: str, replacement: str) -> Value:
    if not part:
        return text
    bounded_text(len(text) + text.count(part) * (len(replacement) - len(part)))
    return text.replace(part, replacement)


def _replicate(text: Value, times: Value) -> Value:
    count = whole(times)
    if type(text) is not str or count is None or not 0 <= count <= _LONGEST_REPLICA:
        return UNDEFINED
    return text * count if len(text) * count <= _LONGEST_REPLICA else UNDEFINED


@_strings
def _regex_match(text: str, pattern: str, modifiers: str = "") -> Value:
    if not set(modifiers) <= set("msix"):
        return UNDEFINED
    return regexes.found(text, pattern, modifiers)


def to_string(value: Value) -> Value:
    """The value as text: strings as they are, everything else as compact JSON."""
    if value is UNDEFINED or type(value) is str:
        return value
    shown = number(value) if type(value) is float else value
    if shown is UNDEFINED:  # not finite
        return UNDEFINED
    return json.dumps(shown, separators=(",", ":"), ensure_ascii=False)


def _parsed(wanted: int) -> Callable[..., Value]:
    """Text to a value of one type; undefined when the text holds none."""

    @_strings
    def parse(text: str) -> Value:
        try:
            value = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            return UNDEFINED
        if rank(value) != wanted:
            return UNDEFINED
        return number(value) if wanted == NUMBER else value

    return parse


def _refuse_constant(text: str) -> Any:
    raise ValueError(text)


def _string_join(items: Value, separator: Value) -> Value:
    if type(items) is not list or type(separator) is not str:
        return UNDEFINED
    if not all(type(item) is str for item in items):
        return UNDEFINED
    bounded_text(sum(map(len, items)) + len(items) * len(separator))
    return separator.join(items)


@_strings
def _concat(*parts: str) -> Value:
    bounded_text(sum(map(len, parts)))
    return "".join(parts)


@_strings
def _string_split(text: str, separator: str) -> Value:
    return text.split(separator) if separator else list(text)


TEXT_FUNCTIONS: Final[dict[str, tuple[int, int, Callable[..., Value]]]] = {
    "CONCAT": (2, 100, _concat),
    "CONTAINS": (2, 3, _matcher(lambda text, part: part in text)),
    "ENDSWITH": (2, 3, _matcher(str.endswith)),
    "INDEX_OF": (2, 3, _index_of),
    "LEFT": (2, 2, _left),
    "LENGTH": (1, 1, _strings(len)),
    "LOWER": (1, 1, _strings(str.lower)),
    "LTRIM": (1, 1, _strings(str.lstrip)),
    "REGEXMATCH": (2, 3, _regex_match),
    "REPLACE": (3, 3, _replace),
    "REPLICATE": (2, 2, _replicate),
    "REVERSE": (1, 1, _strings(lambda text: text[::-1])),
    "RIGHT": (2, 2, _right),
    "RTRIM": (1, 1, _strings(str.rstrip)),
    "STARTSWITH": (2, 3, _matcher(str.startswith)),
    "STRINGEQUALS": (2, 3, _matcher(operator.eq)),
    "STRINGJOIN": (2, 2, _string_join),
    "STRINGSPLIT": (2, 2, _string_split),
    "STRINGTOARRAY": (1, 1, _parsed(ARRAY)),
    "STRINGTOBOOLEAN": (1, 1, _parsed(BOOLEAN)),
    "STRINGTONULL": (1, 1, _parsed(NULL)),
    "STRINGTONUMBER": (1, 1, _parsed(NUMBER)),
    "STRINGTOOBJECT": (1, 1, _parsed(OBJECT)),
    "SUBSTRING": (3, 3, _substring),
    "TOSTRING": (1, 1, to_string),
    "TRIM": (1, 1, _strings(str.strip)),
    "UPPER": (1, 1, _strings(str.upper)),
}
"""Name -> fewest arguments, most arguments, function."""
