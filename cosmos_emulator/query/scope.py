"""What the names and parameters of an expression stand for while it is compiled.

At run time a row is a tuple, the environment: the documents of the container first, then one value
per input set in the order of the FROM clause, those of enclosing queries before those of the inner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cosmos_emulator.query.errors import QueryError
from cosmos_emulator.query.syntax import Name, Parameter, Select
from cosmos_emulator.query.values import Value

Env = tuple[Any, ...]
Rows = Callable[[Env], Iterable[Value]]
"""The results of a subquery within one row of the query around it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The bindings in force at one place of a query.

    Attributes:
        slots: alias -> index in the environment.
        size: length of the environment.
        grouped: aliases that may be used only within aggregates or GROUP BY keys here.
        parameters: `@name` -> value.
        subselect: compiles a subquery.
        now_seconds: the service's clock in Unix seconds; None where no clock was given.
    """

    parameters: Mapping[str, Value]
    subselect: Callable[[Select, Scope], Rows]
    now_seconds: Callable[[], float] | None
    slots: Mapping[str, int] = field(default_factory=dict)
    size: int = 1
    grouped: frozenset[str] = frozenset()

    def binding(self, alias: str) -> Scope:
        """The scope with one more input set; an alias hides the same one of an outer query."""
        slots = {**self.slots, alias: self.size} if alias else self.slots
        return replace(self, size=self.size + 1, slots=slots)

    def over_groups(self, size: int) -> Scope:
        """The scope of a projection over groups of `size` slots, where no row is to be seen."""
        return replace(self, slots={}, size=size, grouped=frozenset(self.slots))

    def slot(self, name: Name) -> int:
        """Where the environment holds the input set of this alias.

        Raises:
            QueryError: no input set has this alias.
        """
        if name.name in self.slots:
            return self.slots[name.name]
        if name.name in self.grouped:
            message = f"'{name.name}' is used outside of an aggregate but not named in GROUP BY"
            raise QueryError(message, position=name.position)
        raise QueryError(f"Nothing here is called '{name.name}'", position=name.position)

    def parameter(self, node: Parameter) -> Value:
        """The value of a parameter.

        Raises:
            QueryError: no such parameter was sent.
        """
        if node.name not in self.parameters:
            raise QueryError(f"No value was given for {node.name}", position=node.position)
        return self.parameters[node.name]


def parameter_values(parameters: Iterable[object]) -> dict[str, Value]:
    """The values by name, from the list that a request carries.

    Raises:
        QueryError: an entry without a name or a value.
    """
    values: dict[str, Value] = {}
    for parameter in parameters:
        match parameter:
            case {"name": str(name), "value": value}:
                values[name] = value
            case _:
                raise QueryError("Every query parameter needs a name and a value")
    return values
