"""JSON values as queries see them: undefined, type ranks, equality and order.

A value is what `json.loads` gives (None, bool, int, float, str, list, dict) or `UNDEFINED`, which
is the absence of a value and never stands inside a list or dict. Booleans are no numbers here,
although Python says so; 1 and 1.0 are one number.
Source: Cosmos DB documentation, equality and comparison operators; ORDER BY over mixed types.
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable
from enum import Enum
from types import NoneType
from typing import Any, Final, TypeAlias

Value: TypeAlias = Any
"""A JSON value or `UNDEFINED`."""


class Undefined(Enum):
    """The type of `UNDEFINED`, an enum so that type checkers can tell it apart."""

    UNDEFINED = "undefined"


UNDEFINED: Final = Undefined.UNDEFINED

NULL: Final = 1
BOOLEAN: Final = 2
NUMBER: Final = 3
STRING: Final = 4
ARRAY: Final = 5
OBJECT: Final = 6

RANKS: Final[dict[type, int]] = {
    Undefined: 0,
    NoneType: NULL,
    bool: BOOLEAN,
    int: NUMBER,
    float: NUMBER,
    str: STRING,
    list: ARRAY,
    dict: OBJECT,
}
"""The order of types when values of several types are sorted."""

_EXACT_INTEGER_LIMIT: Final = 2**53
_WIDEST_INTEGER_BITS: Final = 1024  # the reach of a double


def rank(value: Value) -> int:
    """The place of the value's type in the order of types."""
    return RANKS[type(value)]


def is_number(value: Value) -> bool:
    """Whether the value is a JSON number."""
    return RANKS[type(value)] == NUMBER


def identity(value: Value) -> Hashable:
    """A hashable stand-in: two values are the same JSON exactly when their identities are equal."""
    kind = RANKS[type(value)]
    if kind == ARRAY:
        return (ARRAY, tuple([identity(item) for item in value]))
    if kind == OBJECT:
        return (OBJECT, frozenset([(key, identity(item)) for key, item in value.items()]))
    if kind == BOOLEAN:
        return (BOOLEAN, value)
    found: Hashable = value
    return found


def order_key(value: Value) -> tuple[Any, ...]:
    """A sort key over values of all types: undefined, null, bool, number, string, array, object."""
    kind = RANKS[type(value)]
    if kind <= NULL:
        return (kind,)
    if kind >= ARRAY:
        return (kind, json.dumps(value, sort_keys=True))
    if value != value:  # noqa: PLR0124  NaN alone differs from itself, and would unsettle the sort
        return (kind, -math.inf)
    return (kind, value)


def number(value: float) -> Value:
    """A computed number as JSON would show it: 2 and not 2.0; undefined when not finite."""
    if isinstance(value, int):
        return value if value.bit_length() <= _WIDEST_INTEGER_BITS else UNDEFINED
    if not math.isfinite(value):
        return UNDEFINED
    if value.is_integer() and abs(value) < _EXACT_INTEGER_LIMIT:
        return int(value)
    return value


def member(holder: Value, step: Value) -> Value:
    """The property or array element that one step of a path leads to; undefined when absent."""
    if type(holder) is dict:
        return holder.get(step, UNDEFINED) if type(step) is str else UNDEFINED
    if type(holder) is list and type(step) is int and 0 <= step < len(holder):
        return holder[step]
    return UNDEFINED
