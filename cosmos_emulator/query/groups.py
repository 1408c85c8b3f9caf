"""GROUP BY and aggregates: rows in, one environment of slots per group out.

The SELECT list is rewritten so that every aggregate and every GROUP BY key becomes a slot, computed
before the projection runs. What is left may use constants, but no row.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, replace

from cosmos_emulator.query.aggregates import AGGREGATES, Accumulator
from cosmos_emulator.query.budget import spend
from cosmos_emulator.query.errors import QueryError
from cosmos_emulator.query.expressions import Run, built
from cosmos_emulator.query.kept import KEPT_STEPS
from cosmos_emulator.query.scope import Env, Scope
from cosmos_emulator.query.syntax import (
    Call,
    Column,
    Columns,
    Node,
    Select,
    Slot,
    Star,
    ValueOf,
    rewritten,
    walked,
)
from cosmos_emulator.query.values import Value, identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """How to group: `groups` gives `size` slots for each group, `projection` reads them."""

    groups: Callable[[Iterable[Env]], Iterator[Env]]
    projection: Star | ValueOf | Columns
    size: int


def is_grouped(select: Select) -> bool:
    """Whether the query gives one result per group rather than per row."""
    return bool(select.group_by) or any(
        isinstance(node, Call) and node.function in AGGREGATES
        for expression in _selected(select.projection)
        for node in walked(expression)
    )


def grouping(select: Select, scope: Scope) -> Grouping:
    """The plan of a grouped query.

    Raises:
        QueryError: an aggregate within an aggregate or with the wrong number of arguments.
    """
    calls: dict[Call, int] = {}
    keys = {key: index for index, key in enumerate(select.group_by)}

    def lift(node: Node) -> Node | None:
        if node in keys:
            return Slot(index=keys[node])
        if isinstance(node, Call) and node.function in AGGREGATES:
            return Slot(index=len(select.group_by) + calls.setdefault(node, len(calls)))
        return None

    projection = _lifted(select.projection, lift)
    key_runs = [built(key, scope).run for key in select.group_by]
    aggregates = [(AGGREGATES[call.function], _argument(call, scope)) for call in calls]
    groups = _groups(key_runs, aggregates)
    return Grouping(groups=groups, projection=projection, size=len(key_runs) + len(calls))


def _argument(call: Call, scope: Scope) -> Run:
    if len(call.arguments) != 1:
        message = f"{call.function} takes 1 argument, not {len(call.arguments)}"
        raise QueryError(message, position=call.position)
    return built(call.arguments[0], scope).run


def _groups(
    keys: list[Run], aggregates: list[tuple[Callable[[], Accumulator], Run]]
) -> Callable[[Iterable[Env]], Iterator[Env]]:
    arguments = [argument for _, argument in aggregates]

    def groups(rows: Iterable[Env]) -> Iterator[Env]:
        found: dict[Hashable, tuple[list[Value], list[Accumulator]]] = {}
        if not keys:  # one group even of no rows
            found[()] = [], [new() for new, _ in aggregates]
        for env in rows:
            values = [key(env) for key in keys]
            mark = tuple([identity(value) for value in values])
            group = found.get(mark)
            if group is None:
                spend(KEPT_STEPS)
                group = found[mark] = values, [new() for new, _ in aggregates]
            for accumulator, argument in zip(group[1], arguments, strict=True):
                accumulator.add(argument(env))
        for values, accumulators in found.values():
            yield (*values, *[accumulator.result() for accumulator in accumulators])

    return groups


def _selected(projection: Star | ValueOf | Columns) -> list[Node]:
    match projection:
        case Star():
            return []
        case ValueOf(expression=expression):
            return [expression]
        case Columns(items=items):
            return [column.expression for column in items]


def _lifted(
    projection: Star | ValueOf | Columns, lift: Callable[[Node], Node | None]
) -> Star | ValueOf | Columns:
    match projection:
        case Star():
            return projection
        case ValueOf(expression=expression):
            return ValueOf(expression=rewritten(expression, lift))
        case Columns(items=items):
            return Columns(items=tuple([_lifted_column(column, lift) for column in items]))


def _lifted_column(column: Column, lift: Callable[[Node], Node | None]) -> Column:
    return replace(column, expression=rewritten(column.expression, lift))
