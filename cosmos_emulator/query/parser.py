"""Parses a whole query: `parse_query`, and `parse_condition` for the filter of a patch.

Source: the SELECT, FROM, WHERE, GROUP BY, ORDER BY and OFFSET LIMIT clauses of the Cosmos DB SQL
reference, with the combinations it rules out refused here.
"""

from __future__ import annotations

from collections.abc import Callable

from cosmos_emulator.query.cursor import Cursor
from cosmos_emulator.query.errors import QueryError
from cosmos_emulator.query.expression_parser import ExpressionParser
from cosmos_emulator.query.lexer import Kind
from cosmos_emulator.query.syntax import (
    Column,
    Columns,
    Literal,
    Name,
    Node,
    Parameter,
    Path,
    Select,
    SortKey,
    Source,
    Star,
    ValueOf,
    own_name,
)


def parse_query(text: str) -> Select:
    """The tree of a SELECT statement.

    Raises:
        QueryError: the text is no query, or uses what is not supported.
    """
    parser = _SelectParser(Cursor(text))
    return parser.whole(parser.select)


def parse_condition(text: str) -> Select:
    """`FROM c WHERE ...` as a query that gives true for each document that meets it.

    Raises:
        QueryError: the text is no FROM clause with an optional WHERE clause.
    """
    parser = _SelectParser(Cursor(text))
    return parser.whole(parser.condition)


class _SelectParser:
    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._expressions = ExpressionParser(cursor, self.select)

    def whole(self, part: Callable[[], Select]) -> Select:
        select = part()
        self._cursor.expect_end()
        return select

    def condition(self) -> Select:
        if not self._cursor.at_keyword("FROM"):
            raise self._cursor.refusal("a condition starts with FROM")
        projection = ValueOf(expression=Literal(value=True))
        return Select(projection=projection, sources=self._sources(), where=self._where())

    def select(self) -> Select:
        with self._cursor.nested():
            start = self._cursor.expect_keyword("SELECT").position
            distinct = self._cursor.accept_keyword("DISTINCT")
            top = self._count() if self._cursor.accept_keyword("TOP") else None
            select = Select(
                distinct=distinct,
                top=top,
                projection=self._projection(),
                sources=self._sources(),
                where=self._where(),
                group_by=self._group_by(),
                order_by=self._order_by(),
                offset=self._count() if self._cursor.accept_keyword("OFFSET") else None,
                limit=self._count() if self._cursor.accept_keyword("LIMIT") else None,
            )
        _refuse_clashes(select, start)
        return select

    def _projection(self) -> Star | ValueOf | Columns:
        if self._cursor.accept_symbol("*"):
            if self._cursor.at_symbol(","):
                raise self._cursor.refusal("* stands alone in SELECT")
            return Star()
        if self._cursor.accept_keyword("VALUE"):
            return ValueOf(expression=self._expressions.expression())
        columns = [self._column()]
        while self._cursor.accept_symbol(","):
            columns.append(self._column())
        return Columns(items=tuple(columns))

    def _column(self) -> Column:
        expression = self._expressions.expression()
        return Column(expression=expression, name=self._alias() or own_name(expression))

    def _alias(self) -> str:
        if self._cursor.accept_keyword("AS") or self._cursor.token.kind is Kind.NAME:
            return self._cursor.expect_name("an alias").text
        return ""

    def _sources(self) -> tuple[Source, ...]:
        if not self._cursor.accept_keyword("FROM"):
            return ()
        sources = [self._source()]
        while self._cursor.accept_keyword("JOIN"):
            sources.append(self._source())
        return tuple(sources)

    def _source(self) -> Source:
        position = self._cursor.token.position
        if self._cursor.following.text == "IN" and self._cursor.following.kind is Kind.KEYWORD:
            alias = self._cursor.expect_name("an alias").text
            self._cursor.expect_keyword("IN")
            return Source(origin=self._origin(), alias=alias, iterates=True, position=position)
        origin = self._origin()
        alias = self._alias() or own_name(origin)
        return Source(origin=origin, alias=alias, iterates=False, position=position)

    def _origin(self) -> Name | Path | Select:
        if self._cursor.accept_symbol("("):
            select = self.select()
            self._cursor.expect_symbol(")")
            return select
        return self._expressions.path(self._cursor.expect_name("an input set"))

    def _where(self) -> Node | None:
        return self._expressions.expression() if self._cursor.accept_keyword("WHERE") else None

    def _group_by(self) -> tuple[Node, ...]:
        if not self._cursor.accept_keyword("GROUP"):
            return ()
        self._cursor.expect_keyword("BY")
        keys = [self._expressions.expression()]
        while self._cursor.accept_symbol(","):
            keys.append(self._expressions.expression())
        return tuple(keys)

    def _order_by(self) -> tuple[SortKey, ...]:
        if not self._cursor.accept_keyword("ORDER"):
            return ()
        self._cursor.expect_keyword("BY")
        keys = [self._sort_key()]
        while self._cursor.accept_symbol(","):
            keys.append(self._sort_key())
        return tuple(keys)

    def _sort_key(self) -> SortKey:
        position = self._cursor.token.position
        expression = self._expressions.expression()
        if not (isinstance(expression, Path) and isinstance(expression.base, Name)):
            if self._cursor.token.kind is Kind.NAME:
                raise self._cursor.refusal("expected ASC, DESC or the end of the clause")
            raise QueryError("ORDER BY takes property paths only, like c.name", position=position)
        descending = self._cursor.accept_keyword("DESC")
        if not descending:
            self._cursor.accept_keyword("ASC")
        return SortKey(expression=expression, descending=descending)

    def _count(self) -> Node:
        token = self._cursor.token
        if token.kind is Kind.PARAMETER:
            return Parameter(name=self._cursor.take().text, position=token.position)
        if token.kind is Kind.NUMBER and isinstance(token.value, int):
            return Literal(value=self._cursor.take().value)
        raise self._cursor.refusal("expected a whole number or a parameter")


def _refuse_clashes(select: Select, position: int) -> None:
    limited = select.offset is not None, select.limit is not None
    if limited[0] != limited[1]:
        raise QueryError("OFFSET and LIMIT need each other", position=position)
    if select.top is not None and any(limited):
        raise QueryError("TOP cannot stand beside OFFSET LIMIT", position=position)
    if select.group_by and select.order_by:
        raise QueryError("ORDER BY is not supported beside GROUP BY", position=position)
    if isinstance(select.projection, Star) and len(select.sources) != 1:
        raise QueryError("SELECT * needs FROM with exactly one input set", position=position)
    if isinstance(select.projection, Star) and select.group_by:
        raise QueryError("SELECT * cannot stand beside GROUP BY", position=position)
