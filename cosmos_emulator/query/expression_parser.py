"""Parses scalar expressions by precedence climbing.

From loosest to tightest: `?:`, `??`, OR, AND, NOT, `|`, `^`, `&`, `= !=`, `< <= > >= IN BETWEEN
LIKE`, shifts, `+ - ||`, `* / %`, unary. Operators of one precedence group from the left and form
one flat node. Bitwise operators bind looser than comparisons, as in the languages they come from.
The service does not document where NOT stands among the comparisons; here it is SQL's place.
Source: the scalar expression grammar in the Cosmos DB SQL reference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from cosmos_emulator.query.cursor import Cursor
from cosmos_emulator.query.errors import QueryError
from cosmos_emulator.query.lexer import Kind, Token
from cosmos_emulator.query.syntax import (
    ArrayLiteral,
    Between,
    Call,
    Chain,
    Coalesce,
    Conditional,
    Like,
    Literal,
    Logical,
    Member,
    Membership,
    Name,
    Node,
    ObjectLiteral,
    Operation,
    Parameter,
    Path,
    Select,
    Subquery,
    SubqueryKind,
    Unary,
)
from cosmos_emulator.query.values import UNDEFINED

_LEVELS: Final = (
    ("??",),
    ("OR",),
    ("AND",),
    ("|",),
    ("^",),
    ("&",),
    ("=", "!="),
    ("<", "<=", ">", ">="),
    ("<<", ">>", ">>>"),
    ("+", "-", "||"),
    ("*", "/", "%"),
)
_PRECEDENCE: Final = {operator: level for level, group in enumerate(_LEVELS) for operator in group}
_LOOSEST: Final = 0
_BELOW_NOT: Final = _PRECEDENCE["|"]
_RELATIONAL: Final = _PRECEDENCE["<"]
_NO_OPERATOR: Final = -1
_PREDICATES: Final = frozenset({"IN", "BETWEEN", "LIKE"})
_CONSTANTS: Final = {"TRUE": True, "FALSE": False, "NULL": None, "UNDEFINED": UNDEFINED}

_Item = TypeVar("_Item")


class ExpressionParser:
    """Parses one expression at the cursor; `select` parses a subquery there."""

    def __init__(self, cursor: Cursor, select: Callable[[], Select]) -> None:
        self._cursor = cursor
        self._select = select

    def expression(self) -> Node:
        """A whole expression, with the ternary operator."""
        with self._cursor.nested():
            test = self._binary(_LOOSEST)
            if not self._cursor.accept_symbol("?"):
                return test
            then = self.expression()
            self._cursor.expect_symbol(":")
            return Conditional(test=test, then=then, otherwise=self.expression())

    def path(self, root: Token) -> Name | Path:
        """An alias, already taken, and the properties and indexes that follow it."""
        name = Name(name=root.text, position=root.position)
        steps = self._steps()
        return Path(base=name, steps=steps) if steps else name

    def listed(self, item: Callable[[], _Item], closing: str) -> tuple[_Item, ...]:
        """Items between commas up to the closing symbol, which is taken; may be empty."""
        if self._cursor.accept_symbol(closing):
            return ()
        items = [item()]
        while self._cursor.accept_symbol(","):
            items.append(item())
        self._cursor.expect_symbol(closing)
        return tuple(items)

    def _binary(self, loosest: int) -> Node:
        with self._cursor.nested():
            left = self._prefix()
            ceiling = len(_LEVELS)
            while (level := self._level_ahead()) >= loosest:
                if level >= ceiling:  # a predicate does not chain: a IN (..) IN (..)
                    raise self._cursor.refusal("parentheses are needed here")
                left = self._applied(left, level)
                ceiling = level
            return left

    def _level_ahead(self) -> int:
        token = self._cursor.token
        if token.kind is Kind.SYMBOL or self._cursor.at_keyword("AND", "OR"):
            return _PRECEDENCE.get(token.text, _NO_OPERATOR)
        return _RELATIONAL if self._predicate_ahead() else _NO_OPERATOR

    def _predicate_ahead(self) -> bool:
        if self._cursor.at_keyword("NOT"):
            following = self._cursor.following
            return following.kind is Kind.KEYWORD and following.text in _PREDICATES
        return self._cursor.at_keyword(*_PREDICATES)

    def _applied(self, left: Node, level: int) -> Node:
        if self._predicate_ahead():
            return self._predicate(left)
        rest: list[Operation] = []
        while self._level_ahead() == level and not self._predicate_ahead():
            operator = self._cursor.take().text
            rest.append(Operation(operator=operator, operand=self._binary(level + 1)))
        if level > _PRECEDENCE["AND"]:
            return Chain(first=left, rest=tuple(rest))
        operands = (left, *[operation.operand for operation in rest])
        if level == _PRECEDENCE["??"]:
            return Coalesce(operands=operands)
        return Logical(operator=rest[0].operator, operands=operands)

    def _predicate(self, value: Node) -> Node:
        negated = self._cursor.accept_keyword("NOT")
        predicate = self._cursor.take().text
        found: Node
        if predicate == "IN":
            self._cursor.expect_symbol("(")
            if self._cursor.at_symbol(")"):
                raise self._cursor.refusal("IN needs at least one value")
            found = Membership(value=value, choices=self.listed(self.expression, ")"))
        elif predicate == "BETWEEN":
            low = self._binary(_RELATIONAL + 1)
            self._cursor.expect_keyword("AND")
            found = Between(value=value, low=low, high=self._binary(_RELATIONAL + 1))
        else:
            pattern = self._binary(_RELATIONAL + 1)
            found = Like(value=value, pattern=pattern, escape=self._escape())
        return Unary(operator="NOT", operand=found) if negated else found

    def _escape(self) -> str:
        if not self._cursor.accept_keyword("ESCAPE"):
            return ""
        token = self._cursor.token
        if token.kind is not Kind.STRING or len(token.value) != 1:
            raise self._cursor.refusal("ESCAPE needs a string of one character")
        return str(self._cursor.take().value)

    def _prefix(self) -> Node:
        if self._cursor.accept_keyword("NOT"):
            return Unary(operator="NOT", operand=self._binary(_BELOW_NOT))
        for sign in ("-", "+", "~"):
            if self._cursor.accept_symbol(sign):
                with self._cursor.nested():
                    return Unary(operator=sign, operand=self._prefix())
        base = self._primary()
        steps = self._steps()
        return Path(base=base, steps=steps) if steps else base

    def _steps(self) -> tuple[Node, ...]:
        steps: list[Node] = []
        while True:
            if self._cursor.accept_symbol("."):
                steps.append(Literal(value=self._cursor.expect_name("a property name").text))
            elif self._cursor.accept_symbol("["):
                steps.append(self.expression())
                self._cursor.expect_symbol("]")
            else:
                return tuple(steps)

    def _primary(self) -> Node:
        token = self._cursor.token
        match token.kind:
            case Kind.NUMBER | Kind.STRING:
                return Literal(value=self._cursor.take().value)
            case Kind.PARAMETER:
                return Parameter(name=self._cursor.take().text, position=token.position)
            case Kind.NAME:
                return self._named(self._cursor.take())
            case Kind.KEYWORD:
                return self._keyword(token)
            case _:
                return self._bracketed(token)

    def _named(self, token: Token) -> Node:
        if not self._cursor.accept_symbol("("):
            return Name(name=token.text, position=token.position)
        arguments = self.listed(self._argument, ")")
        return Call(function=token.text.upper(), arguments=arguments, position=token.position)

    def _argument(self) -> Node:
        if self._cursor.at_symbol("*"):
            raise self._cursor.refusal("write COUNT(1) to count everything")
        if self._cursor.at_keyword("DISTINCT"):
            raise self._cursor.refusal("DISTINCT within a function is not supported")
        return self.expression()

    def _keyword(self, token: Token) -> Node:
        if token.text in _CONSTANTS:
            self._cursor.take()
            return Literal(value=_CONSTANTS[token.text])
        if token.text in {SubqueryKind.EXISTS, SubqueryKind.ARRAY}:
            self._cursor.take()
            self._cursor.expect_symbol("(")
            return self._subquery(SubqueryKind(token.text))
        if token.text == "UDF":
            raise QueryError("User-defined functions are not supported", position=token.position)
        raise self._cursor.refusal("expected an expression")

    def _bracketed(self, token: Token) -> Node:
        if self._cursor.accept_symbol("("):
            if self._cursor.at_keyword("SELECT"):
                return self._subquery(SubqueryKind.SCALAR)
            inner = self.expression()
            self._cursor.expect_symbol(")")
            return inner
        if self._cursor.accept_symbol("["):
            return ArrayLiteral(items=self.listed(self.expression, "]"))
        if self._cursor.accept_symbol("{"):
            return ObjectLiteral(members=self.listed(self._member, "}"))
        raise self._cursor.refusal("expected an expression")

    def _subquery(self, kind: SubqueryKind) -> Subquery:
        select = self._select()
        self._cursor.expect_symbol(")")
        return Subquery(kind=kind, select=select)

    def _member(self) -> Member:
        token = self._cursor.token
        if token.kind is Kind.STRING:
            name = str(self._cursor.take().value)
        else:
            name = self._cursor.expect_name("a property name").text
        self._cursor.expect_symbol(":")
        return Member(name=name, value=self.expression())
