"""The text of a syntax tree: what the parser would read as the same tree again.

Every expression that is made of others stands in parentheses, so that no precedence has to be known;
chains stay flat, as they were read, so that no query grows deeper by being written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from cosmos_emulator.query.lexer import KEYWORDS
from cosmos_emulator.query.syntax import (
    ArrayLiteral,
    Between,
    Call,
    Chain,
    Coalesce,
    Column,
    Columns,
    Conditional,
    Like,
    Literal,
    Logical,
    Membership,
    Name,
    Node,
    ObjectLiteral,
    Parameter,
    Path,
    Select,
    SortKey,
    Source,
    Star,
    Subquery,
    SubqueryKind,
    Unary,
    ValueOf,
    own_name,
)
from cosmos_emulator.query.values import UNDEFINED

_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z_0-9]*", re.ASCII)


def written(node: Node) -> str:
    """The text of an expression."""
    return _WRITERS[type(node)](node)


def written_select(select: Select) -> str:
    """The text of a query, a line for each clause."""
    lines = [_head(select), *_from(select.sources)]
    if select.where is not None:
        lines.append(f"WHERE {written(select.where)}")
    if select.group_by:
        lines.append(f"GROUP BY {_listed(select.group_by)}")
    if select.order_by:
        lines.append("ORDER BY " + ", ".join(map(_sort_key, select.order_by)))
    if select.offset is not None and select.limit is not None:
        lines.append(f"OFFSET {written(select.offset)} LIMIT {written(select.limit)}")
    return "\n".join(lines)


def _head(select: Select) -> str:
    distinct = " DISTINCT" if select.distinct else ""
    top = "" if select.top is None else f" TOP {written(select.top)}"
    return f"SELECT{distinct}{top} {_projection(select.projection)}"


def _projection(projection: Star | ValueOf | Columns) -> str:
    match projection:
        case Star():
            return "*"
        case ValueOf(expression=expression):
            return f"VALUE {written(expression)}"
        case Columns(items=items):
            return ", ".join(map(_column, items))


def _column(column: Column) -> str:
    text = written(column.expression)
    return text if own_name(column.expression) == column.name else f"{text} AS {column.name}"


def _from(sources: Iterable[Source]) -> list[str]:
    texts = " JOIN ".join(map(_source, sources))
    return [f"FROM {texts}"] if texts else []


def _source(source: Source) -> str:
    if isinstance(source.origin, Select):
        origin = f"({written_select(source.origin)})"
    else:
        origin = written(source.origin)
    if source.iterates:
        return f"{source.alias} IN {origin}"
    return origin if source.alias in {"", origin} else f"{origin} AS {source.alias}"


def _sort_key(key: SortKey) -> str:
    return written(key.expression) + (" DESC" if key.descending else "")


def _listed(nodes: Iterable[Node]) -> str:
    return ", ".join(map(written, nodes))


def _literal(node: Literal) -> str:
    return "undefined" if node.value is UNDEFINED else json.dumps(node.value, ensure_ascii=False)


def _path(node: Path) -> str:
    base = written(node.base)
    return (f"({base})" if isinstance(node.base, Literal) else base) + "".join(
        map(_step, node.steps)
    )


def _step(node: Node) -> str:
    match node:
        case Literal(value=str(name)) if _IDENTIFIER.fullmatch(name):
            return f'["{name}"]' if name.upper() in KEYWORDS else f".{name}"
        case _:
            return f"[{written(node)}]"


def _chain(node: Chain) -> str:
    rest = "".join(f" {step.operator} {written(step.operand)}" for step in node.rest)
    return f"({written(node.first)}{rest})"


def _logical(node: Logical) -> str:
    return "(" + f" {node.operator} ".join(map(written, node.operands)) + ")"


def _like(node: Like) -> str:
    escape = f" ESCAPE {json.dumps(node.escape, ensure_ascii=False)}" if node.escape else ""
    return f"({written(node.value)} LIKE {written(node.pattern)}{escape})"


def _between(node: Between) -> str:
    return f"({written(node.value)} BETWEEN {written(node.low)} AND {written(node.high)})"


def _conditional(node: Conditional) -> str:
    return f"({written(node.test)} ? {written(node.then)} : {written(node.otherwise)})"


def _object(node: ObjectLiteral) -> str:
    members = [
        f"{json.dumps(member.name, ensure_ascii=False)}: {written(member.value)}"
        for member in node.members
    ]
    return "{" + ", ".join(members) + "}"


def _subquery(node: Subquery) -> str:
    kind = "" if node.kind is SubqueryKind.SCALAR else node.kind.value
    return f"{kind}({written_select(node.select)})"


_WRITERS: Final[dict[type[Node], Callable[[Any], str]]] = {
    ArrayLiteral: lambda node: f"[{_listed(node.items)}]",
    Between: _between,
    Call: lambda node: f"{node.function}({_listed(node.arguments)})",
    Chain: _chain,
    Coalesce: lambda node: "(" + " ?? ".join(map(written, node.operands)) + ")",
    Conditional: _conditional,
    Like: _like,
    Literal: _literal,
    Logical: _logical,
    Membership: lambda node: f"({written(node.value)} IN ({_listed(node.choices)}))",
    Name: lambda node: node.name,
    ObjectLiteral: _object,
    Parameter: lambda node: node.name,
    Path: _path,
    Subquery: _subquery,
    Unary: lambda node: f"({node.operator} {written(node.operand)})",
}
