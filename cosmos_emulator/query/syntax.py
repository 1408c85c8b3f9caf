"""The syntax tree of a query. Values only; the parser makes it, `expressions` and `plan` read it.

Two expressions are equal when they are written alike, wherever they stand: positions, kept for
error messages, take no part in the comparison. Chains of operators of one precedence are flat, so
that the depth of a tree is bounded by the nesting of its text and never by its length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from itertools import count
from typing import Any

from cosmos_emulator.query.values import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Anything in the tree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Literal(Node):
    """A constant of the text, `undefined` included."""

    value: Value
    kind: str = field(init=False)  # Python takes 1 and true for equal

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", type(self.value).__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter(Node):
    """`@name`."""

    name: str
    position: int = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Name(Node):
    """The alias of an input set."""

    name: str
    position: int = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Path(Node):
    """`base.step["step"][0]`; each step is an expression, most often a literal."""

    base: Node
    steps: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unary(Node):
    """`NOT x`, `-x`, `+x`, `~x`."""

    operator: str
    operand: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Node):
    """An operator and what stands right of it."""

    operator: str
    operand: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain(Node):
    """Binary operators of one precedence, applied from left to right."""

    first: Node
    rest: tuple[Operation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Logical(Node):
    """`AND` or `OR` over two or more operands."""

    operator: str
    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coalesce(Node):
    """`a ?? b ?? c`."""

    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditional(Node):
    """`test ? then : otherwise`."""

    test: Node
    then: Node
    otherwise: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership(Node):
    """`value IN (choices)`."""

    value: Node
    choices: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Between(Node):
    """`value BETWEEN low AND high`, both ends included."""

    value: Node
    low: Node
    high: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Like(Node):
    """`value LIKE pattern ESCAPE escape`; no escape character when `escape` is empty."""

    value: Node
    pattern: Node
    escape: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Node):
    """A function by its upper-case name."""

    function: str
    arguments: tuple[Node, ...]
    position: int = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayLiteral(Node):
    """`[a, b]`."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member(Node):
    """`"name": value` of an object literal."""

    name: str
    value: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectLiteral(Node):
    """`{"a": x, "b": y}`."""

    members: tuple[Member, ...]


class SubqueryKind(StrEnum):
    """What a subquery in an expression gives."""

    SCALAR = "scalar"
    EXISTS = "EXISTS"
    ARRAY = "ARRAY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subquery(Node):
    """`(SELECT ...)`, `EXISTS(SELECT ...)` or `ARRAY(SELECT ...)`."""

    kind: SubqueryKind
    select: Select


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot(Node):
    """A value of a group, computed before the projection: an aggregate or a GROUP BY key."""

    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Star:
    """`SELECT *`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueOf:
    """`SELECT VALUE expression`."""

    expression: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One entry of a SELECT list; `name` is empty where neither alias nor path gives one."""

    expression: Node
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """`SELECT a, b AS c`."""

    items: tuple[Column, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One input set: `c`, `c.items AS x`, `x IN c.items` (`iterates`), `(SELECT ...) AS x`.

    `alias` is empty when nothing can refer to it.
    """

    origin: Name | Path | Select
    alias: str
    iterates: bool
    position: int = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SortKey:
    """One key of ORDER BY."""

    expression: Node
    descending: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Select:
    """A whole query or subquery; absent clauses are None or empty."""

    projection: Star | ValueOf | Columns
    sources: tuple[Source, ...]
    distinct: bool = False
    top: Node | None = None
    where: Node | None = None
    group_by: tuple[Node, ...] = ()
    order_by: tuple[SortKey, ...] = ()
    offset: Node | None = None
    limit: Node | None = None


def own_name(expression: Node | Select) -> str:
    """The name that a path brings along: its last property, else its alias."""
    match expression:
        case Name(name=name):
            return name
        case Path(steps=(*_, Literal(value=str(name)))):
            return name
        case _:
            return ""


def named(columns: Columns) -> list[tuple[str, Node]]:
    """The columns with a name each; those without are $1, $2, ..."""
    unnamed = (f"${number}" for number in count(1))
    return [(column.name or next(unnamed), column.expression) for column in columns.items]


def walked(root: Node) -> Iterator[Node]:
    """Every node of the tree except those of subqueries, which belong to their own rows."""
    waiting: list[Any] = [root]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Node):
            yield part
            waiting.extend(getattr(part, each.name) for each in fields(part))
        elif isinstance(part, tuple):
            waiting.extend(part)


def walked_select(select: Select) -> Iterator[Node]:
    """Every node of a query's own expressions."""
    match select.projection:
        case ValueOf(expression=expression):
            yield from walked(expression)
        case Columns(items=items):
            for column in items:
                yield from walked(column.expression)
        case Star():
            pass
    keys = [key.expression for key in select.order_by]
    for part in (select.where, *select.group_by, *keys):
        if part is not None:
            yield from walked(part)


def rewritten(node: Node, change: Callable[[Node], Node | None]) -> Node:
    """The tree with each node replaced for which `change` gives another, outermost first.

    Subqueries are left alone: their expressions belong to their own rows.
    """
    changed = change(node)
    if changed is not None:
        return changed
    parts = {each.name: getattr(node, each.name) for each in fields(node) if each.init}
    for name, part in parts.items():  # plain loops: one frame per level of the tree
        if isinstance(part, Node):
            parts[name] = rewritten(part, change)
        elif isinstance(part, tuple):
            items = list(part)
            for index, item in enumerate(items):
                items[index] = rewritten(item, change)
            parts[name] = tuple(items)
    return replace(node, **parts)
