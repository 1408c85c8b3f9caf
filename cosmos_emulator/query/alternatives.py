"""Finds the key of a long list of alternatives: `(c.id = "1" AND ..) OR (c.id = "2" AND ..) OR ..`.

That is how the SDK asks for many items at once. When every alternative starts by comparing one and
the same path with a constant string, a row can go straight to the alternatives that fit it instead
of trying all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cosmos_emulator.query.syntax import Chain, Logical, Node, Operation, Path
from cosmos_emulator.query.values import Value

_WORTH_IT: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternatives:
    """The path that decides, and the indexes of the alternatives for each of its values."""

    path: Path
    by_value: dict[str, list[int]]


def keyed(node: Logical, constant: Callable[[Node], Value]) -> Alternatives | None:
    """The alternatives of an OR by their key; None when there are few or they share no key.

    Args:
        node: the OR, or an AND, which has no alternatives.
        constant: the value of an expression that needs no row, undefined for one that does.
    """
    if node.operator != "OR" or len(node.operands) < _WORTH_IT:
        return None
    paths: set[Path] = set()
    by_value: dict[str, list[int]] = {}
    for index, alternative in enumerate(node.operands):
        match _first_condition(alternative):
            case Chain(first=Path() as path, rest=(Operation(operator="=", operand=operand),)):
                paths.add(path)
                value = constant(operand)
            case _:
                return None
        if type(value) is not str:
            return None
        by_value.setdefault(value, []).append(index)
    return Alternatives(path=paths.pop(), by_value=by_value) if len(paths) == 1 else None


def _first_condition(node: Node) -> Node:
    return node.operands[0] if isinstance(node, Logical) and node.operator == "AND" else node
