"""Compiles a query to a pipeline over documents: sources, filter, groups or order, projection.

Everything streams except ORDER BY and GROUP BY, which see all rows first. The same pipeline serves
whole queries and subqueries; a subquery starts from a row of the query around it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from cosmos_emulator.query.budget import spend
from cosmos_emulator.query.errors import QueryError
from cosmos_emulator.query.expressions import Run, built, projected
from cosmos_emulator.query.groups import grouping, is_grouped
from cosmos_emulator.query.kept import KEPT_STEPS, kept, sorted_in_parts
from cosmos_emulator.query.parser import parse_condition, parse_query
from cosmos_emulator.query.scope import Env, Rows, Scope, parameter_values
from cosmos_emulator.query.syntax import (
    Columns,
    Literal,
    Name,
    Node,
    Select,
    Source,
    Star,
    ValueOf,
    named,
    walked_select,
)
from cosmos_emulator.query.values import UNDEFINED, Value, identity, member, order_key

_DOCUMENTS: Final = 0  # where the environment holds the container
_MOST_ROWS: Final = sys.maxsize // 2
_NODES_A_STEP: Final = 16

_Expand = Callable[[Env], Iterable[Value]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledQuery:
    """A query ready to run, any number of times."""

    rows: Rows

    def run(self, documents: Iterable[dict[str, Any]]) -> list[Any]:
        """The results over all the given documents.

        Documents are plain decoded JSON. They are not changed, and are handed out as they are
        where the query selects them whole.

        Raises:
            QueryError: a value met on the way cannot be used, such as a regular expression.
        """
        return list(self.rows((documents,)))


def compile_query(
    text: str,
    parameters: Sequence[Mapping[str, Any]] = (),
    *,
    now_seconds: Callable[[], float] | None = None,
) -> CompiledQuery:
    """A query with its parameters (`{"name": "@x", "value": ...}` each), ready to run.

    Args:
        text: the SQL text.
        parameters: as the request carries them.
        now_seconds: the service's clock, Unix time in seconds; without it the functions that read
            the clock are refused.

    Raises:
        QueryError: a syntax error, an unknown name or an unsupported feature.
    """
    return _compiled(parse_query(text), parameter_values(parameters), now_seconds)


def scans_backwards(text: str) -> bool:
    """Whether equal rows of a query come newest first: where its first order descends.

    Raises:
        QueryError: a syntax error.
    """
    order = parse_query(text).order_by
    return bool(order) and order[0].descending


def compile_condition(
    text: str, *, now_seconds: Callable[[], float] | None = None
) -> CompiledQuery:
    """`FROM c WHERE ...` as a query that gives one `True` for each document that meets it.

    Raises:
        QueryError: the text is no such condition.
    """
    return _compiled(parse_condition(text), {}, now_seconds)


def _compiled(
    select: Select, parameters: Mapping[str, Value], now_seconds: Callable[[], float] | None
) -> CompiledQuery:
    scope = Scope(parameters=parameters, subselect=_subselect, now_seconds=now_seconds)
    first = [_from_container(source) for source in select.sources[:1]]
    return CompiledQuery(rows=_pipeline(select, scope, first))


def _subselect(select: Select, scope: Scope) -> Rows:
    return _pipeline(select, scope, [])


def _pipeline(select: Select, outer: Scope, first: list[_Expand]) -> Rows:
    """The rows of a query; `first` holds the first input set where that is not from a row."""
    scope, expansions = _joined(select.sources, outer, first)
    where = None if select.where is None else built(select.where, scope).run
    results = _grouped(select, scope) if is_grouped(select) else _projected(select, scope)
    distinct, (start, stop) = select.distinct, _window(select, outer)
    steps = 1 + sum(1 for _ in walked_select(select)) // _NODES_A_STEP
    spend(steps)

    def rows(env: Env) -> Iterator[Value]:
        found: Iterable[Env] = (env,)
        for expand in expansions:
            found = _expanded(found, expand, steps)
        if where is not None:
            found = _filtered(found, where)
        values = (value for value in results(found) if value is not UNDEFINED)
        return islice(_distinct(values) if distinct else values, start, stop)

    return rows


def _expanded(rows: Iterable[Env], expand: _Expand, steps: int) -> Iterator[Env]:
    for env in rows:
        for value in expand(env):
            spend(steps)
            yield (*env, value)


def _filtered(rows: Iterable[Env], where: Run) -> Iterator[Env]:
    return (env for env in rows if where(env) is True)


def _distinct(values: Iterable[Value]) -> Iterator[Value]:
    seen = set()
    for value in values:
        mark = identity(value)
        if mark not in seen:
            seen.add(mark)
            spend(KEPT_STEPS)
            yield value


def _joined(
    sources: tuple[Source, ...], scope: Scope, first: list[_Expand]
) -> tuple[Scope, list[_Expand]]:
    expansions = list(first)
    aliases = [source.alias for source in sources]
    for number, source in enumerate(sources):
        if source.alias and source.alias in aliases[:number]:
            raise QueryError(f"The alias '{source.alias}' is used twice", position=source.position)
        if number >= len(first):
            expansions.append(_from_row(source, scope))
        scope = scope.binding(source.alias)
    return scope, expansions


def _from_container(source: Source) -> _Expand:
    """The first input set of a query: whatever name it starts with is the container."""
    if isinstance(source.origin, Select):
        raise QueryError("FROM (SELECT ...) is not supported", position=source.position)
    if isinstance(source.origin, Name):
        if source.iterates:
            raise QueryError("IN needs an array within the container", position=source.position)
        return lambda env: iter(env[_DOCUMENTS])
    keys = [_fixed(step, source.position) for step in source.origin.steps]
    iterates = source.iterates

    def expand(env: Env) -> Iterator[Value]:
        for document in env[_DOCUMENTS]:
            value = document
            for key in keys:
                value = member(value, key)
            yield from _unfolded(value, iterates)

    return expand


def _fixed(step: Node, position: int) -> Value:
    if isinstance(step, Literal):
        return step.value
    raise QueryError("A path in FROM takes fixed properties and indexes only", position=position)


def _from_row(source: Source, scope: Scope) -> _Expand:
    if isinstance(source.origin, Select):
        return scope.subselect(source.origin, scope)
    run, iterates = built(source.origin, scope).run, source.iterates
    return lambda env: _unfolded(run(env), iterates)


def _unfolded(value: Value, iterates: bool) -> Iterable[Value]:  # noqa: FBT001  private
    if iterates:
        return value if type(value) is list else ()
    return () if value is UNDEFINED else (value,)


def _window(select: Select, scope: Scope) -> tuple[int, int | None]:
    if select.offset is not None and select.limit is not None:
        start = _count(select.offset, scope)
        return start, start + _count(select.limit, scope)
    return 0, None if select.top is None else _count(select.top, scope)


def _count(node: Node, scope: Scope) -> int:
    value = built(node, scope).run(())
    if type(value) is not int or value < 0:
        raise QueryError("TOP, OFFSET and LIMIT take whole numbers from 0")
    return min(value, _MOST_ROWS)


def _projected(select: Select, scope: Scope) -> Callable[[Iterable[Env]], Iterator[Value]]:
    project = _projection(select.projection, scope)
    keys = [(built(key.expression, scope).run, key.descending) for key in select.order_by]
    if not keys:
        return lambda rows: map(project, rows)

    def sorted_results(rows: Iterable[Env]) -> Iterator[Value]:
        ordered = kept(rows)
        if keys[0][1]:  # the index is read backwards, equal rows among them
            ordered.reverse()
        for run, descending in reversed(keys):  # each sort keeps the order of the one before
            ordered = sorted_in_parts(ordered, key=_sort_key(run), reverse=descending)
        return map(project, ordered)

    return sorted_results


def _sort_key(run: Run) -> Callable[[Env], tuple[Any, ...]]:
    return lambda env: order_key(run(env))


def _projection(projection: Star | ValueOf | Columns, scope: Scope) -> Run:
    match projection:
        case Star():
            last = scope.size - 1
            return lambda env: env[last]
        case ValueOf(expression=expression):
            return built(expression, scope).run
        case Columns():
            return projected([(name, built(part, scope)) for name, part in named(projection)])


def _grouped(select: Select, scope: Scope) -> Callable[[Iterable[Env]], Iterator[Value]]:
    for key in select.order_by:  # read, but one row needs no order, and the parser refuses more
        built(key.expression, scope)
    plan = grouping(select, scope)
    project = _projection(plan.projection, scope.over_groups(plan.size))
    return lambda rows: map(project, plan.groups(rows))
