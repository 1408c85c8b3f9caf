"""Compiles expressions to closures over a row: what is constant is computed once.

Building may raise `QueryError`; running a built expression gives a value, undefined wherever the
types do not fit. The common shapes (a property of a document, a comparison with a constant string,
functions of one or two arguments) have closures of their own: a scan runs them once per document.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from cosmos_emulator.query.aggregates import AGGREGATES
from cosmos_emulator.query.alternatives import keyed
from cosmos_emulator.query.budget import bounded, spend
from cosmos_emulator.query.clock_functions import CLOCK_FUNCTIONS, DATE_FUNCTIONS
from cosmos_emulator.query.errors import QueryError
from cosmos_emulator.query.kept import kept
from cosmos_emulator.query.operators import BINARY, UNARY, Binary, between, equal, like
from cosmos_emulator.query.scope import Env, Scope
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
    Membership,
    Name,
    Node,
    ObjectLiteral,
    Parameter,
    Path,
    Slot,
    Subquery,
    SubqueryKind,
    Unary,
)
from cosmos_emulator.query.text_functions import TEXT_FUNCTIONS
from cosmos_emulator.query.value_functions import VALUE_FUNCTIONS
from cosmos_emulator.query.values import UNDEFINED, Value, member

Run = Callable[[Env], Value]

_FUNCTIONS: Final = {**TEXT_FUNCTIONS, **VALUE_FUNCTIONS, **DATE_FUNCTIONS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A built expression; `constant` when it needs no row."""

    run: Run
    constant: bool


def built(node: Node, scope: Scope) -> Code:
    """The expression as code.

    Raises:
        QueryError: an unknown name, parameter or function, or an aggregate out of place.
    """
    spend()
    return _BUILDERS[type(node)](node, scope)


def _constant(value: Value) -> Code:
    return Code(run=lambda _env: value, constant=True)


def _computed(run: Run, *parts: Code) -> Code:
    """Code made of parts: computed at once when all of them are constant."""
    if all(part.constant for part in parts):
        return _constant(run(()))
    return Code(run=run, constant=False)


def _literal(node: Literal, _scope: Scope) -> Code:
    return _constant(node.value)


def _parameter(node: Parameter, scope: Scope) -> Code:
    return _constant(scope.parameter(node))


def _name(node: Name, scope: Scope) -> Code:
    index = scope.slot(node)
    return Code(run=lambda env: env[index], constant=False)


def _slot(node: Slot, _scope: Scope) -> Code:
    index = node.index
    return Code(run=lambda env: env[index], constant=False)


def _path(node: Path, scope: Scope) -> Code:
    base = built(node.base, scope)
    steps = [built(step, scope) for step in node.steps]
    if all(step.constant for step in steps):
        keys = [step.run(()) for step in steps]
        if isinstance(node.base, Name) and len(keys) == 1 and type(keys[0]) is str:
            return Code(run=_property(scope.slot(node.base), keys[0]), constant=False)
        return _computed(_walk(base.run, keys), base)

    def run(env: Env) -> Value:
        value = base.run(env)
        for step in steps:
            value = member(value, step.run(env))
        return value

    return _computed(run, base, *steps)


def _property(index: int, key: str) -> Run:
    def run(env: Env) -> Value:
        holder = env[index]
        return holder.get(key, UNDEFINED) if type(holder) is dict else UNDEFINED

    return run


def _walk(base: Run, keys: list[Value]) -> Run:
    def run(env: Env) -> Value:
        value = base(env)
        for key in keys:
            value = member(value, key)
        return value

    return run


def _unary(node: Unary, scope: Scope) -> Code:
    operand, apply = built(node.operand, scope), UNARY[node.operator]
    return _computed(lambda env: apply(operand.run(env)), operand)


def _chain(node: Chain, scope: Scope) -> Code:
    code = built(node.first, scope)
    rest = [(BINARY[step.operator], built(step.operand, scope)) for step in node.rest]
    if len(rest) == 1:
        return _binary(code, *rest[0])
    first = code.run

    def run(env: Env) -> Value:
        value = first(env)
        for apply, operand in rest:
            value = apply(value, operand.run(env))
        return value

    return _computed(run, code, *[operand for _, operand in rest])


def _binary(left: Code, apply: Binary, right: Code) -> Code:
    one, other = left.run, right.run
    if apply is equal and right.constant and type(wanted := other(())) is str:
        return _computed(
            lambda env: value == wanted if type(value := one(env)) is str else UNDEFINED, left
        )
    return _computed(lambda env: apply(one(env), other(env)), left, right)


def _logical(node: Logical, scope: Scope) -> Code:
    operands = [built(operand, scope) for operand in node.operands]
    run = _combined(operands, decisive=node.operator == "OR")
    alternatives = keyed(node, lambda part: _value_if_constant(built(part, scope)))
    if alternatives is None:
        return _computed(run, *operands)
    path = built(alternatives.path, scope).run
    fitting = {
        value: _combined([operands[index] for index in indexes], decisive=True)
        for value, indexes in alternatives.by_value.items()
    }

    def go_straight(env: Env) -> Value:
        value = path(env)
        if type(value) is not str:
            return run(env)
        found = fitting.get(value)  # the alternatives for other values are false
        return False if found is None else found(env)

    return _computed(go_straight, *operands)


def _combined(operands: list[Code], *, decisive: bool) -> Run:
    """Three-valued AND or OR: one decisive operand decides, else one that is no boolean spoils."""
    runs = [operand.run for operand in operands]

    def run(env: Env) -> Value:
        spoilt = False
        for operand in runs:
            value = operand(env)
            if value is decisive:
                return decisive
            spoilt = spoilt or type(value) is not bool
        return UNDEFINED if spoilt else not decisive

    return run


def _value_if_constant(code: Code) -> Value:
    return code.run(()) if code.constant else UNDEFINED


def _coalesce(node: Coalesce, scope: Scope) -> Code:
    operands = [built(operand, scope) for operand in node.operands]

    def run(env: Env) -> Value:
        for operand in operands:
            value = operand.run(env)
            if value is not UNDEFINED:
                return value
        return UNDEFINED

    return _computed(run, *operands)


def _conditional(node: Conditional, scope: Scope) -> Code:
    test, then = built(node.test, scope), built(node.then, scope)
    otherwise = built(node.otherwise, scope)
    return _computed(
        lambda env: then.run(env) if test.run(env) is True else otherwise.run(env),
        test,
        then,
        otherwise,
    )


def _membership(node: Membership, scope: Scope) -> Code:
    value = built(node.value, scope)
    choices = [built(choice, scope) for choice in node.choices]
    if all(choice.constant for choice in choices):
        constants = [choice.run(()) for choice in choices]
        if all(type(constant) is str for constant in constants):
            return _computed(_among(value.run, frozenset(constants)), value)

    def run(env: Env) -> Value:
        found, spoilt = value.run(env), False
        for choice in choices:
            same = equal(found, choice.run(env))
            if same is True:
                return True
            spoilt = spoilt or same is UNDEFINED
        return UNDEFINED if spoilt else False

    return _computed(run, value, *choices)


def _among(value: Run, choices: frozenset[str]) -> Run:
    def run(env: Env) -> Value:
        found = value(env)
        return found in choices if type(found) is str else UNDEFINED

    return run


def _between(node: Between, scope: Scope) -> Code:
    parts = [built(part, scope) for part in (node.value, node.low, node.high)]
    return _computed(_applied(between, parts), *parts)


def _like(node: Like, scope: Scope) -> Code:
    parts = [built(node.value, scope), built(node.pattern, scope)]
    escape = node.escape
    return _computed(_applied(lambda value, pattern: like(value, pattern, escape), parts), *parts)


def _array(node: ArrayLiteral, scope: Scope) -> Code:
    items = [built(item, scope) for item in node.items]

    def run(env: Env) -> Value:
        return bounded([value for item in items if (value := item.run(env)) is not UNDEFINED])

    return _computed(run, *items)


def _object(node: ObjectLiteral, scope: Scope) -> Code:
    members = [(part.name, built(part.value, scope)) for part in node.members]
    return _computed(projected(members), *[code for _, code in members])


def projected(members: list[tuple[str, Code]]) -> Run:
    """An object of the members that are defined."""
    parts = [(name, code.run) for name, code in members]

    def run(env: Env) -> Value:
        found = {name: value for name, part in parts if (value := part(env)) is not UNDEFINED}
        return bounded(found)

    return run


def _call(node: Call, scope: Scope) -> Code:
    name = node.function
    if name in AGGREGATES:
        message = f"The aggregate {name} may stand only in the SELECT list"
        raise QueryError(message, position=node.position)
    if name in CLOCK_FUNCTIONS:
        return _clock_call(node, scope)
    if name not in _FUNCTIONS:
        raise QueryError(f"The function {name} is not supported", position=node.position)
    fewest, most, function = _FUNCTIONS[name]
    if not fewest <= len(node.arguments) <= most:
        wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
        message = f"{name} takes {wanted} arguments, not {len(node.arguments)}"
        raise QueryError(message, position=node.position)
    arguments = [built(argument, scope) for argument in node.arguments]
    return _computed(_applied(function, arguments), *arguments)


def _clock_call(node: Call, scope: Scope) -> Code:
    clock = scope.now_seconds
    if node.arguments:
        raise QueryError(f"{node.function} takes no arguments", position=node.position)
    if clock is None:
        raise QueryError(f"{node.function} is not supported here", position=node.position)
    read, now = CLOCK_FUNCTIONS[node.function], clock
    return Code(run=lambda _env: read(now()), constant=False)


def _applied(function: Callable[..., Value], arguments: list[Code]) -> Run:
    runs = [argument.run for argument in arguments]
    if len(runs) == 1:
        [only] = runs
        return lambda env: function(only(env))
    if len(runs) == 2:  # noqa: PLR2004  the arity itself
        first, second = runs
        return lambda env: function(first(env), second(env))
    return lambda env: function(*[run(env) for run in runs])


def _subquery(node: Subquery, scope: Scope) -> Code:
    rows = scope.subselect(node.select, scope)
    match node.kind:
        case SubqueryKind.EXISTS:
            return Code(run=lambda env: any(True for _ in rows(env)), constant=False)
        case SubqueryKind.ARRAY:
            return Code(run=lambda env: bounded(kept(rows(env))), constant=False)
        case SubqueryKind.SCALAR:
            return Code(run=lambda env: next(iter(rows(env)), UNDEFINED), constant=False)


_BUILDERS: Final[dict[type[Node], Callable[[Any, Scope], Code]]] = {
    ArrayLiteral: _array,
    Between: _between,
    Call: _call,
    Chain: _chain,
    Coalesce: _coalesce,
    Conditional: _conditional,
    Like: _like,
    Literal: _literal,
    Logical: _logical,
    Membership: _membership,
    Name: _name,
    ObjectLiteral: _object,
    Parameter: _parameter,
    Path: _path,
    Slot: _slot,
    Subquery: _subquery,
    Unary: _unary,
}
