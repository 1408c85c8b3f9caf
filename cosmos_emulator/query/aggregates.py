"""Aggregate functions: one accumulator per aggregate and group.

Undefined values are passed over. SUM and AVG are undefined once anything but a number was seen;
MIN and MAX compare across types in the order of types and are undefined once an array or object
was seen. Over nothing, COUNT and SUM are 0 and the others undefined.
Source: Cosmos DB documentation, aggregate functions, remarks of each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from cosmos_emulator.query.operators import BINARY
from cosmos_emulator.query.values import (
    ARRAY,
    RANKS,
    UNDEFINED,
    Value,
    order_key,
)


class Accumulator(Protocol):
    """Takes the values of a group one by one, then tells the result."""

    def add(self, value: Value) -> None:
        """Takes one value."""

    def result(self) -> Value:
        """The aggregate of all values taken."""


class _Count:
    def __init__(self, counts: Callable[[Value], bool]) -> None:
        self._counts = counts
        self._count = 0

    def add(self, value: Value) -> None:
        self._count += self._counts(value)

    def result(self) -> Value:
        return self._count


class _Sum:
    def __init__(self) -> None:
        self._total: Value = 0

    def add(self, value: Value) -> None:
        if value is not UNDEFINED:
            self._total = BINARY["+"](self._total, value)

    def result(self) -> Value:
        return self._total


class _Average:
    def __init__(self) -> None:
        self._sum = _Sum()
        self._count = 0

    def add(self, value: Value) -> None:
        self._sum.add(value)
        self._count += value is not UNDEFINED

    def result(self) -> Value:
        return BINARY["/"](self._sum.result(), self._count)


class _Extreme:
    def __init__(self, best: Callable[..., Any]) -> None:
        self._best = best
        self._found: Value = UNDEFINED
        self._spoilt = False

    def add(self, value: Value) -> None:
        if RANKS[type(value)] >= ARRAY:
            self._spoilt = True
        elif self._found is UNDEFINED:
            self._found = value
        elif value is not UNDEFINED:
            self._found = self._best(self._found, value, key=order_key)

    def result(self) -> Value:
        return UNDEFINED if self._spoilt else self._found


AGGREGATES: Final[dict[str, Callable[[], Accumulator]]] = {
    "COUNT": lambda: _Count(lambda value: value is not UNDEFINED),
    "COUNTIF": lambda: _Count(lambda value: value is True),
    "SUM": _Sum,
    "AVG": _Average,
    "MIN": lambda: _Extreme(min),
    "MAX": lambda: _Extreme(max),
}
