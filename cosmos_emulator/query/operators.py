"""What operators do with values. Undefined in, or types that do not fit, gives undefined out.

Comparisons work within one type only; `!=`, `<` and their kin are undefined on arrays and objects,
while `=` compares those member by member. Arithmetic is exact on integers and leaves the rest to
doubles; a result that JSON cannot hold is undefined. Bitwise operators see 32 bits, as JavaScript.
Source: Cosmos DB documentation, equality and comparison operators, bitwise operators, LIKE.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from cosmos_emulator.query.budget import bounded_text, spend
from cosmos_emulator.query.errors import QueryError
from cosmos_emulator.query.values import (
    ARRAY,
    NULL,
    NUMBER,
    RANKS,
    UNDEFINED,
    Value,
    identity,
    is_number,
    number,
)

Binary = Callable[[Value, Value], Value]


def equal(left: Value, right: Value) -> Value:
    """`left = right`."""
    kind = RANKS[type(left)]
    if kind != RANKS[type(right)] or not kind:
        return UNDEFINED
    return left == right if kind < ARRAY else identity(left) == identity(right)


def unequal(left: Value, right: Value) -> Value:
    """`left != right`."""
    kind = RANKS[type(left)]
    if kind != RANKS[type(right)] or not 0 < kind < ARRAY:
        return UNDEFINED
    return left != right


def _ordering(test: Callable[[Any, Any], bool]) -> Binary:
    def compare(left: Value, right: Value) -> Value:
        kind = RANKS[type(left)]
        if kind != RANKS[type(right)] or not 0 < kind < ARRAY:
            return UNDEFINED
        return test(0, 0) if kind == NULL else test(left, right)

    return compare


def _arithmetic(compute: Callable[[Any, Any], float]) -> Binary:
    def apply(left: Value, right: Value) -> Value:
        if RANKS[type(left)] != NUMBER or RANKS[type(right)] != NUMBER:
            return UNDEFINED
        try:
            return number(compute(left, right))
        except (ArithmeticError, ValueError):  # division by zero, or beyond a double
            return UNDEFINED

    return apply


def _remainder(left: float, right: float) -> float:
    if isinstance(left, int) and isinstance(right, int):
        size = abs(left) % abs(right)
        return -size if left < 0 else size
    return math.fmod(left, right)


def _int32(value: float) -> int:
    wrapped = int(value) & 0xFFFFFFFF
    return wrapped - 0x100000000 if wrapped & 0x80000000 else wrapped


def _bitwise(compute: Callable[[int, int], int]) -> Binary:
    return _arithmetic(lambda left, right: _int32(compute(_int32(left), _int32(right))))


def _unsigned_shift(left: float, right: float) -> float:
    return (_int32(left) & 0xFFFFFFFF) >> (_int32(right) & 31)


def concatenated(left: Value, right: Value) -> Value:
    """`left || right`."""
    if type(left) is not str or type(right) is not str:
        return UNDEFINED
    bounded_text(len(left) + len(right))
    return left + right


BINARY: Final[dict[str, Binary]] = {
    "=": equal,
    "!=": unequal,
    "<": _ordering(operator.lt),
    "<=": _ordering(operator.le),
    ">": _ordering(operator.gt),
    ">=": _ordering(operator.ge),
    "+": _arithmetic(operator.add),
    "-": _arithmetic(operator.sub),
    "*": _arithmetic(operator.mul),
    "/": _arithmetic(operator.truediv),
    "%": _arithmetic(_remainder),
    "||": concatenated,
    "&": _bitwise(operator.and_),
    "|": _bitwise(operator.or_),
    "^": _bitwise(operator.xor),
    "<<": _bitwise(lambda left, right: left << (right & 31)),
    ">>": _bitwise(lambda left, right: left >> (right & 31)),
    ">>>": _arithmetic(_unsigned_shift),
}


def negated(value: Value) -> Value:
    """`NOT value`."""
    return not value if type(value) is bool else UNDEFINED


def _inverted(value: Value) -> Value:
    try:
        return ~_int32(value) if is_number(value) else UNDEFINED
    except (ArithmeticError, ValueError):  # infinite, or no number
        return UNDEFINED


UNARY: Final[dict[str, Callable[[Value], Value]]] = {
    "NOT": negated,
    "-": lambda value: number(-value) if is_number(value) else UNDEFINED,
    "+": lambda value: number(value) if is_number(value) else UNDEFINED,
    "~": _inverted,
}


def between(value: Value, low: Value, high: Value) -> Value:
    """`value BETWEEN low AND high`."""
    above, below = BINARY[">="](value, low), BINARY["<="](value, high)
    if above is False or below is False:
        return False
    return UNDEFINED if UNDEFINED in (above, below) else True


def like(value: Value, pattern: Value, escape: str) -> Value:
    """`value LIKE pattern`: `%` any run, `_` any character, `[a-f]` and `[^a-f]` sets."""
    if type(value) is not str or type(pattern) is not str:
        return UNDEFINED
    cost = len(value) * len(pattern)
    if cost > _HARDEST_LIKE:
        message = f"LIKE over {len(value):,} characters takes a shorter pattern than this one"
        raise QueryError(message)
    spend(cost >> 14)
    return _like_expression(pattern, escape).fullmatch(value) is not None


_HARDEST_LIKE: Final = 20_000_000
_ANY_RUN = ".*"
_SET_MEMBER: Final = re.compile(r"(.)-(.)|(.)", re.DOTALL)


@lru_cache(maxsize=256)
def _like_expression(pattern: str, escape: str) -> re.Pattern[str]:
    runs: list[list[str]] = [[]]
    position = 0
    while position < len(pattern):
        part, position = _like_part(pattern, position, escape)
        if part == _ANY_RUN:
            runs.append([])
        else:
            runs[-1].append(part)
    first, *others = ["".join(run) for run in runs]
    if not others:
        return re.compile(first, re.DOTALL)
    # Between two `%` the first place that fits is as good as any: nothing is ever tried again, so
    # that no pattern takes longer than its length times the text's.
    middle = "".join(f"(?>.*?{run})" for run in others[:-1] if run)
    return re.compile(f"{first}{middle}.*{others[-1]}", re.DOTALL)


def _like_part(pattern: str, position: int, escape: str) -> tuple[str, int]:
    character, after = pattern[position], position + 1
    if character == escape and after < len(pattern):
        return re.escape(pattern[after]), after + 1
    if character == "%":
        return _ANY_RUN, after
    if character == "_":
        return ".", after
    closing = pattern.find("]", after + 1)
    if character == "[" and closing > 0 and (found := _like_set(pattern[after:closing])):
        return found, closing + 1
    return re.escape(character), after


def _like_set(body: str) -> str:
    """The set as a regular expression; empty for what is none, such as `[]` or `[z-a]`."""
    inverted, members = body.startswith("^"), body.removeprefix("^")
    parts: list[str] = []
    for low, high, single in _SET_MEMBER.findall(members):
        if low > high:
            return ""
        parts.append(re.escape(single) or f"{re.escape(low)}-{re.escape(high)}")
    return f"[{'^' if inverted else ''}{''.join(parts)}]" if parts else ""
