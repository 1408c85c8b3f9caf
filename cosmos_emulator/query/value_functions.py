"""Functions of numbers, types, arrays and objects. What does not fit gives undefined.

Source: Cosmos DB documentation, mathematical, type checking and array functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from cosmos_emulator.query.budget import bounded
from cosmos_emulator.query.text_functions import whole
from cosmos_emulator.query.values import (
    ARRAY,
    BOOLEAN,
    NULL,
    NUMBER,
    OBJECT,
    STRING,
    UNDEFINED,
    Value,
    identity,
    is_number,
    number,
    rank,
)

_HALF: Final = 0.5

_Entry = tuple[int, int, Callable[..., Value]]


def _numeric(compute: Callable[..., float]) -> Callable[..., Value]:
    """For functions of numbers alone."""

    def apply(*arguments: Value) -> Value:
        if not all(map(is_number, arguments)):
            return UNDEFINED
        try:
            return number(compute(*arguments))
        except (ArithmeticError, ValueError):  # outside the function's domain, or infinite
            return UNDEFINED

    return apply


def _rounded(value: float) -> float:
    """Half-way cases go away from zero."""
    size = abs(value)
    below = math.floor(size)
    return math.copysign(below + (size - below >= _HALF), value)


def _round(value: float) -> float:
    return value if isinstance(value, int) else _rounded(value)


def _logarithm(value: float, base: float = math.e) -> float:
    return math.log(value) if base == math.e else math.log(value, base)


_NUMBERS: Final[dict[str, _Entry]] = {
    "ABS": (1, 1, _numeric(abs)),
    "ACOS": (1, 1, _numeric(math.acos)),
    "ASIN": (1, 1, _numeric(math.asin)),
    "ATAN": (1, 1, _numeric(math.atan)),
    "ATN2": (2, 2, _numeric(math.atan2)),
    "CEILING": (1, 1, _numeric(math.ceil)),
    "COS": (1, 1, _numeric(math.cos)),
    "COT": (1, 1, _numeric(lambda value: 1 / math.tan(value))),
    "DEGREES": (1, 1, _numeric(math.degrees)),
    "EXP": (1, 1, _numeric(math.exp)),
    "FLOOR": (1, 1, _numeric(math.floor)),
    "LOG": (1, 2, _numeric(_logarithm)),
    "LOG10": (1, 1, _numeric(math.log10)),
    "PI": (0, 0, lambda: math.pi),
    "POWER": (2, 2, _numeric(math.pow)),
    "RADIANS": (1, 1, _numeric(math.radians)),
    "ROUND": (1, 1, _numeric(_round)),
    "SIGN": (1, 1, _numeric(lambda value: (value > 0) - (value < 0))),
    "SIN": (1, 1, _numeric(math.sin)),
    "SQRT": (1, 1, _numeric(math.sqrt)),
    "SQUARE": (1, 1, _numeric(lambda value: value * value)),
    "TAN": (1, 1, _numeric(math.tan)),
    "TRUNC": (1, 1, _numeric(math.trunc)),
}


def _of_kind(*kinds: int) -> Callable[[Value], Value]:
    return lambda value: rank(value) in kinds


def _is_finite(value: Value) -> Value:
    return type(value) is int or (type(value) is float and math.isfinite(value))


_TYPES: Final[dict[str, _Entry]] = {
    "IS_ARRAY": (1, 1, _of_kind(ARRAY)),
    "IS_BOOL": (1, 1, _of_kind(BOOLEAN)),
    "IS_BOOLEAN": (1, 1, _of_kind(BOOLEAN)),  # Java's and .NET's, in an ORDER BY that goes on
    "IS_DEFINED": (1, 1, lambda value: value is not UNDEFINED),
    "IS_FINITE_NUMBER": (1, 1, _is_finite),
    "IS_INTEGER": (1, 1, lambda value: _is_finite(value) and whole(value) is not None),
    "IS_NULL": (1, 1, _of_kind(NULL)),
    "IS_NUMBER": (1, 1, _of_kind(NUMBER)),
    "IS_OBJECT": (1, 1, _of_kind(OBJECT)),
    "IS_PRIMITIVE": (1, 1, _of_kind(NULL, BOOLEAN, NUMBER, STRING)),
    "IS_STRING": (1, 1, _of_kind(STRING)),
}


def _covers(item: Value, wanted: Value) -> bool:
    """Whether an object has at least the wanted properties; anything else must be equal."""
    if type(item) is not dict or type(wanted) is not dict:
        return identity(item) == identity(wanted)
    return all(key in item and _covers(item[key], value) for key, value in wanted.items())


def _array_contains(items: Value, wanted: Value, partial: Value = False) -> Value:  # noqa: FBT002  an SQL argument
    if type(items) is not list or wanted is UNDEFINED or type(partial) is not bool:
        return UNDEFINED
    if partial:
        return any(_covers(item, wanted) for item in items)
    target = identity(wanted)
    return any(identity(item) == target for item in items)


def _array_contains_each(test: Callable[..., bool]) -> Callable[..., Value]:
    def contains(items: Value, *wanted: Value) -> Value:
        if type(items) is not list:
            return UNDEFINED
        held = {identity(item) for item in items}
        return test(identity(value) in held for value in wanted)

    return contains


def _array_concat(*parts: Value) -> Value:
    if not all(type(part) is list for part in parts):
        return UNDEFINED
    return bounded([item for part in parts for item in part])


def _array_slice(items: Value, start: Value, *rest: Value) -> Value:
    first = whole(start)
    length = whole(rest[0]) if rest else None
    if type(items) is not list or first is None or (rest and length is None):
        return UNDEFINED
    first = max(first + len(items), 0) if first < 0 else first
    return items[first:] if length is None else items[first : first + max(length, 0)]


def _set_of(combine: Callable[[dict[Any, Value], dict[Any, Value]], list[Value]]) -> Any:
    def apply(left: Value, right: Value) -> Value:
        if type(left) is not list or type(right) is not list:
            return UNDEFINED
        return combine({identity(v): v for v in left}, {identity(v): v for v in right})

    return apply


def _object_to_array(value: Value) -> Value:
    if type(value) is not dict:
        return UNDEFINED
    return [{"k": key, "v": item} for key, item in value.items()]


def _choose(index: Value, *choices: Value) -> Value:
    place = whole(index)
    return choices[place - 1] if place is not None and 1 <= place <= len(choices) else UNDEFINED


_STRUCTURES: Final[dict[str, _Entry]] = {
    "ARRAY_CONCAT": (2, 100, _array_concat),
    "ARRAY_CONTAINS": (2, 3, _array_contains),
    "ARRAY_CONTAINS_ALL": (2, 100, _array_contains_each(all)),
    "ARRAY_CONTAINS_ANY": (2, 100, _array_contains_each(any)),
    "ARRAY_LENGTH": (1, 1, lambda items: len(items) if type(items) is list else UNDEFINED),
    "ARRAY_SLICE": (2, 3, _array_slice),
    "CHOOSE": (2, 100, _choose),
    "IIF": (3, 3, lambda test, then, otherwise: then if test is True else otherwise),
    "OBJECTTOARRAY": (1, 1, _object_to_array),
    "SETINTERSECT": (2, 2, _set_of(lambda left, right: [left[k] for k in left if k in right])),
    "SETUNION": (2, 2, _set_of(lambda left, right: list((right | left).values()))),
}

VALUE_FUNCTIONS: Final[dict[str, _Entry]] = {**_NUMBERS, **_TYPES, **_STRUCTURES}
"""Name -> fewest arguments, most arguments, function."""
