"""Plans how a client runs a query over many partitions: what it asks of each, and how it joins the answers.

The client sends the rewritten query to every partition and gets rows that carry what it needs to sort,
group or add up, beside the payload that it hands out. A query that it can send as it is has none.
Source: the query plan baselines of the .NET SDK's own tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from cosmos_emulator.query.aggregates import AGGREGATES
from cosmos_emulator.query.errors import QueryError
from cosmos_emulator.query.groups import is_grouped
from cosmos_emulator.query.key_values import pinned_keys
from cosmos_emulator.query.parser import parse_query
from cosmos_emulator.query.plan import compile_query
from cosmos_emulator.query.scope import parameter_values
from cosmos_emulator.query.syntax import (
    ArrayLiteral,
    Call,
    Column,
    Columns,
    Literal,
    Logical,
    Member,
    Name,
    Node,
    ObjectLiteral,
    Parameter,
    Path,
    Select,
    Source,
    Star,
    ValueOf,
    named,
    walked,
)
from cosmos_emulator.query.values import Value
from cosmos_emulator.query.written import written, written_select

RESUME: Final = "{documentdb-formattableorderbyquery-filter}"
"""Stands in a sorted query for the condition with which a client goes on where it was."""

_TYPES: Final = {
    "COUNT": "Count",
    "COUNTIF": "CountIf",
    "SUM": "Sum",
    "AVG": "Average",
    "MIN": "Min",
    "MAX": "Max",
}
_ROOT: Final = "_root"


@dataclass(frozen=True, slots=True, kw_only=True)
class DistributedQuery:
    """How a client runs a query.

    Attributes:
        info: the query's part of the plan, as the wire has it.
        keys: the partition keys, or their first components, that it is about; None for all.
    """

    info: Mapping[str, Any]
    keys: list[tuple[Any, ...]] | None


def distributed(
    text: str,
    parameters: Sequence[Mapping[str, Any]],
    key_paths: Sequence[Sequence[str]],
    *,
    one_key: bool,
    now_seconds: Callable[[], float],
) -> DistributedQuery:
    """The plan of a query; `one_key` tells that the request itself names a whole partition key.

    Raises:
        QueryError: the query cannot be run, or not by a client over many partitions.
    """
    compile_query(text, parameters, now_seconds=now_seconds)
    select, values = parse_query(text), parameter_values(parameters)
    keys = pinned_keys(select, values, key_paths)
    pinned = one_key or (keys is not None and len(keys) == 1 and len(keys[0]) == len(key_paths))
    info = _Plan(select, values, pinned=pinned).info()
    rewritten = info["rewrittenQuery"].replace(RESUME, "true")
    if rewritten:  # refused here rather than at each partition, should it have grown too deep
        compile_query(rewritten, parameters, now_seconds=now_seconds)
    return DistributedQuery(info=info, keys=keys)


class _Plan:
    def __init__(self, select: Select, values: Mapping[str, Value], *, pinned: bool) -> None:
        self._grouped = is_grouped(select)
        # One partition sorts and counts off by itself; what spans its pages is still the client's.
        self._as_it_is = pinned and not self._grouped and not select.distinct
        self._select = select
        self._values = values

    def info(self) -> dict[str, Any]:
        select = self._select
        window = replace(select, offset=None, limit=None) if self._as_it_is else select
        sort_keys = () if self._as_it_is or self._grouped else select.order_by
        aliases = self._aliases()
        return {
            "distinctType": self._distinct_type(),
            "top": self._count(select.top),
            "offset": self._count(window.offset),
            "limit": self._count(window.limit),
            "orderBy": ["Descending" if key.descending else "Ascending" for key in sort_keys],
            "orderByExpressions": [written(key.expression) for key in sort_keys],
            "groupByExpressions": [written(key) for key in select.group_by],
            "groupByAliases": list(aliases),
            "aggregates": self._aggregates(),
            "groupByAliasToAggregateType": aliases,
            "rewrittenQuery": "" if self._as_it_is else self._rewritten(),
            "hasSelectValue": isinstance(select.projection, ValueOf),
            "hasNonStreamingOrderBy": False,
        }

    def _rewritten(self) -> str:
        select = self._select
        whole = replace(select, top=None, offset=None, limit=None)
        windowed = (select.top, select.offset) != (None, None)
        if self._grouped:
            return written_select(_partial_groups(whole))
        if select.order_by:
            return written_select(_sorted(whole if select.distinct else self._from_the_start()))
        if select.distinct:
            return written_select(whole) if windowed else ""
        return "" if select.offset is None else written_select(self._from_the_start())

    def _from_the_start(self) -> Select:
        """As many rows as the client may need of one partition."""
        select = self._select
        offset, limit = self._count(select.offset), self._count(select.limit)
        if offset is None or limit is None:
            return select
        return replace(select, offset=Literal(value=0), limit=Literal(value=offset + limit))

    def _count(self, node: Node | None) -> int | None:
        found = self._values.get(node.name) if isinstance(node, Parameter) else node
        value = found.value if isinstance(found, Literal) else found
        return value if type(value) is int else None

    def _distinct_type(self) -> str:
        select = self._select
        if not select.distinct:
            return "None"
        shown = [expression for _, expression in _shown(select.projection)]
        sorts = [key.expression for key in select.order_by]
        # Equal rows follow each other only when nothing but the sorted values is shown.
        return "Ordered" if sorts and shown == sorts and not self._grouped else "Unordered"

    def _aggregates(self) -> list[str]:
        projection = self._select.projection
        if not isinstance(projection, ValueOf):
            return []
        kind = _aggregate(projection.expression)
        return [] if kind is None else [kind]

    def _aliases(self) -> dict[str, str | None]:
        projection = self._select.projection
        if not self._grouped or not isinstance(projection, Columns):
            return {}
        return {name: _aggregate(expression) for name, expression in named(projection)}


def _shown(projection: Star | ValueOf | Columns) -> list[tuple[str, Node]]:
    match projection:
        case Star():
            return []
        case ValueOf(expression=expression):
            return [("", expression)]
        case Columns():
            return named(projection)


def _aggregate(expression: Node) -> str | None:
    """Which aggregate an expression is; None for one that has none in it."""
    if isinstance(expression, Call) and expression.function in AGGREGATES:
        return _TYPES[expression.function]
    for node in walked(expression):
        if isinstance(node, Call) and node.function in AGGREGATES:
            message = "An aggregate within another expression cannot be joined over partitions"
            raise QueryError(message, position=node.position)
    return None


def _sorted(select: Select) -> Select:
    """Rows with the values that the client merges them by."""
    select = _from_documents(select)
    root, alias = select.sources[0].alias, select.sources[-1].alias
    where = _both(select.where, Name(name=f"({RESUME})", position=0))  # no name, but stands as one
    payload = _payload(select.projection, alias)
    if isinstance(select.projection, ValueOf):
        where = _both(where, Call(function="IS_DEFINED", arguments=(payload,), position=0))
    identity = Path(base=Name(name=root, position=0), steps=(Literal(value="_rid"),))
    items = ArrayLiteral(items=tuple(_item(key.expression) for key in select.order_by))
    columns = (
        Column(expression=identity, name="_rid"),
        Column(expression=items, name="orderByItems"),
        Column(expression=payload, name="payload"),
    )
    return replace(select, distinct=False, projection=Columns(items=columns), where=where)


def _payload(projection: Star | ValueOf | Columns, alias: str) -> Node:
    match projection:
        case Star():
            return Name(name=alias, position=0)
        case ValueOf(expression=expression):
            return expression
        case Columns():
            return _object(named(projection))


def _from_documents(select: Select) -> Select:
    """The same rows beside their documents, which `FROM x IN c.items` does not show."""
    first, *others = select.sources
    if not isinstance(first.origin, Path):
        return select
    origin = replace(first.origin, base=Name(name=_ROOT, position=0))
    root = Source(origin=Name(name=_ROOT, position=0), alias=_ROOT, iterates=False, position=0)
    return replace(select, sources=(root, replace(first, origin=origin), *others))


def _partial_groups(select: Select) -> Select:
    """Each partition's groups, their aggregates in a form that adds up; their order is nobody's."""
    keys = ArrayLiteral(items=tuple(_item(key) for key in select.group_by))
    shown: Node
    if isinstance(select.projection, Columns):
        shown = _object([(name, _partial(node)) for name, node in named(select.projection)])
    else:
        [(_, expression)] = _shown(select.projection)
        partial = _partial(expression)
        shown = expression if partial is expression else ArrayLiteral(items=(partial,))
    payload = Column(expression=shown, name="payload")
    projection: ValueOf | Columns = Columns(items=(payload,))
    if select.group_by:
        projection = Columns(items=(Column(expression=keys, name="groupByItems"), payload))
    elif isinstance(select.projection, ValueOf):
        projection = ValueOf(expression=shown)
    return replace(select, distinct=False, projection=projection, order_by=())


def _partial(expression: Node) -> Node:
    if _aggregate(expression) is None or not isinstance(expression, Call):
        return expression
    count = Member(name="count", value=replace(expression, function="COUNT"))
    match expression.function:
        case "AVG":
            total = Member(name="sum", value=replace(expression, function="SUM"))
            return _item(ObjectLiteral(members=(total, count)))
        case "MIN" | "MAX" as function:
            extreme = Member(name=function.lower(), value=expression)
            counted = Member(name="item2", value=ObjectLiteral(members=(extreme, count)))
            return ObjectLiteral(members=(Member(name="item", value=expression), counted))
        case _:
            return _item(expression)


def _item(node: Node) -> ObjectLiteral:
    return ObjectLiteral(members=(Member(name="item", value=node),))


def _object(parts: Sequence[tuple[str, Node]]) -> ObjectLiteral:
    return ObjectLiteral(members=tuple(Member(name=name, value=node) for name, node in parts))


def _both(left: Node | None, right: Node) -> Node:
    return right if left is None else Logical(operator="AND", operands=(left, right))
