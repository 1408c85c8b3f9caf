"""What a filter says about the partition key: the keys, or beginnings of keys, that can meet it.

Every document that meets the filter has one of these keys; not every document with one of them meets
it. What is not plainly a comparison with constants is taken to allow anything.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Final

from cosmos_emulator.query.syntax import (
    Chain,
    Literal,
    Logical,
    Membership,
    Name,
    Node,
    Operation,
    Parameter,
    Path,
    Select,
    Unary,
)
from cosmos_emulator.query.values import UNDEFINED, Value, identity, is_number

_MOST_KEYS: Final = 1_000

_Values = dict[Hashable, Value]


def pinned_keys(
    select: Select, parameters: Mapping[str, Value], paths: Sequence[Sequence[str]]
) -> list[tuple[Any, ...]] | None:
    """The values of the first of these paths, one tuple for each key; None when all are allowed."""
    if select.where is None or not select.sources:
        return None
    root = select.sources[0]
    if root.iterates or not isinstance(root.origin, Name):
        return None
    keys: list[tuple[Any, ...]] = [()]
    for path in paths:
        steps = tuple([Literal(value=name) for name in path])
        place = Path(base=Name(name=root.alias, position=0), steps=steps)
        values = _Filter(place, parameters).values(select.where)
        if values is None or len(keys) * len(values) > _MOST_KEYS:
            break
        keys = [(*key, value) for key in keys for value in values.values()]
    return None if keys == [()] else keys


class _Filter:
    """Looks for the values that a filter leaves to one path."""

    def __init__(self, path: Path, parameters: Mapping[str, Value]) -> None:
        self._path = path
        self._parameters = parameters

    def values(self, node: Node) -> _Values | None:
        """The values by their identity; None for any value at all."""
        match node:
            case Logical(operator="AND", operands=operands):
                return _common([self.values(each) for each in operands])
            case Logical(operands=operands):
                return _together([self.values(each) for each in operands])
            case Chain(first=first, rest=(Operation(operator="=", operand=operand),)):
                if operand == self._path:
                    return self._constants([first])
                return self._constants([operand]) if first == self._path else None
            case Membership(value=value, choices=choices) if value == self._path:
                return self._constants(choices)
            case _:
                return None

    def _constants(self, nodes: Iterable[Node]) -> _Values | None:
        found: _Values = {}
        for node in nodes:
            value = self._constant(node)
            if isinstance(value, list | dict) or value is UNDEFINED:
                return None
            found[identity(value)] = value
        return found

    def _constant(self, node: Node) -> Value:
        match node:
            case Literal(value=value):
                return value
            case Parameter(name=name):
                value = self._parameters.get(name, UNDEFINED)
                return UNDEFINED if is_number(value) and not _is_double(value) else value
            case Unary(operator="-", operand=Literal(value=value)) if is_number(value):
                return -value
            case _:
                return UNDEFINED


def _common(parts: list[_Values | None]) -> _Values | None:
    known = [part for part in parts if part is not None]
    if not known:
        return None
    first, *others = known
    return {mark: value for mark, value in first.items() if all(mark in each for each in others)}


def _together(parts: list[_Values | None]) -> _Values | None:
    found: _Values = {}
    for part in parts:
        if part is None:
            return None
        found |= part
    return found


def _is_double(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False
