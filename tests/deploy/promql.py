"""As much of PromQL as the alarms and the dashboard use, over scrapes that a test has made.

Selectors with matchers, comparison with a number, the quotient of two vectors, `and`/`unless` with `on`, `absent`, `increase`, `rate`
and aggregations. What it does not know it refuses, so that nobody writes a rule that no test reads. The
range functions take differences between scrapes without extrapolating; promtool, where it is there, is asked
about the same scrapes.
"""

from __future__ import annotations

import math
import operator
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from prometheus_client.metrics_core import Metric

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]

TOKENS = re.compile(
    r'\s*(?:(?P<number>\d+(?:\.\d+)?)(?![smhdw\d])|(?P<span>\d+[smhd])|(?P<text>"[^"]*")'
    r"|(?P<name>[a-zA-Z_:][\w:]*)|(?P<mark>=~|!=|==|>=|<=|[-+*/><={}()\[\],]))"
)
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
LOOKBACK_SECONDS = 300
COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
    ">=": operator.ge,
    "<=": operator.le,
}
ARITHMETIC = {"+", "-", "*", "/"}
SETS = {"and", "unless"}
AGGREGATIONS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "sum": sum,
    "count": len,
    "max": lambda values: max((v for v in values if v == v), default=math.nan),  # noqa: PLR0124
    "min": lambda values: min((v for v in values if v == v), default=math.nan),  # noqa: PLR0124
}
FUNCTIONS = {"time", "absent", "increase", "rate", "histogram_quantile", "clamp_min"}


@dataclass(frozen=True, slots=True)
class Node:
    """A part of an expression: what it is, its details, its operands."""

    kind: str
    name: str
    operands: tuple[Node, ...] = ()
    matchers: tuple[tuple[str, str, str], ...] = ()
    labels: tuple[str, ...] = ()
    seconds: float = 0.0

    def selectors(self) -> Iterator[Node]:
        """Each metric that is asked for."""
        if self.kind == "selector":
            yield self
        for one in self.operands:
            yield from one.selectors()

    def named_labels(self) -> Iterator[str]:
        """Each label by which something is grouped or matched."""
        yield from self.labels
        for one in self.operands:
            yield from one.named_labels()


def parsed(expression: str) -> Node:
    """Raises: ValueError for what is not known here."""
    return _Parser(expression).whole()


class _Parser:
    def __init__(self, expression: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        place = 0
        while place < len(expression.rstrip()):
            found = TOKENS.match(expression, place)
            if found is None or found.lastgroup is None:
                raise ValueError(f"not understood: {expression[place:]}")
            self._tokens.append((found.lastgroup, found[found.lastgroup]))
            place = found.end()

    def whole(self) -> Node:
        node = self._sets()
        if self._tokens:
            raise ValueError(f"left over: {self._tokens}")
        return node

    def _next(self) -> str:
        return self._tokens[0][1] if self._tokens else ""

    def _take(self, expected: str = "") -> str:
        if not self._tokens or (expected and self._next() != expected):
            raise ValueError(f"{expected or 'something'} is missing before {self._tokens}")
        return self._tokens.pop(0)[1]

    def _sets(self) -> Node:
        left = self._compared()
        while self._next() in SETS:
            name = self._take()
            self._take("on")
            labels = self._names()
            left = Node("set", name, (left, self._compared()), labels=labels)
        return left

    def _compared(self) -> Node:
        left = self._reckoned()
        while self._next() in COMPARISONS:
            left = Node("comparison", self._take(), (left, self._reckoned()))
        return left

    def _reckoned(self) -> Node:
        left = self._one()
        while self._next() in ARITHMETIC:
            left = Node("arithmetic", self._take(), (left, self._one()))
        return left

    def _one(self) -> Node:
        kind, text = self._tokens.pop(0)
        if kind == "number":
            return Node("number", text)
        if text == "(":
            node = self._sets()
            self._take(")")
            return node
        if kind != "name":
            raise ValueError(f"not understood: {text}")
        if text in AGGREGATIONS:
            labels = self._names() if self._next() == "by" and self._take() else ()
            return Node("aggregation", text, self._arguments(), labels=labels)
        if self._next() == "(":
            if text not in FUNCTIONS:
                raise ValueError(f"unknown function {text}")
            return Node("function", text, self._arguments())
        return self._selector(text)

    def _arguments(self) -> tuple[Node, ...]:
        self._take("(")
        found: list[Node] = []
        while self._next() != ")":
            found.append(self._sets())
            if self._next() == ",":
                self._take()
        self._take(")")
        return tuple(found)

    def _names(self) -> tuple[str, ...]:
        self._take("(")
        found: list[str] = []
        while self._next() != ")":
            found.append(self._take())
            if self._next() == ",":
                self._take()
        self._take(")")
        return tuple(found)

    def _selector(self, name: str) -> Node:
        matchers: list[tuple[str, str, str]] = []
        if self._next() == "{":
            self._take()
            while self._next() != "}":
                matchers.append((self._take(), self._take(), self._take().strip('"')))
                if self._next() == ",":
                    self._take()
            self._take("}")
        seconds = 0.0
        if self._next() == "[":
            self._take()
            span = self._take()
            seconds = float(span[:-1]) * SECONDS[span[-1]]
            self._take("]")
        return Node("selector", name, matchers=tuple(matchers), seconds=seconds)


@dataclass
class Scrapes:
    """What Prometheus has stored: per series, times in seconds and values."""

    series: dict[str, dict[Labels, list[tuple[float, float]]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    def add(self, at: float, families: Iterable[Metric], **target: str) -> None:
        """One scrape of one target."""
        for family in families:
            for sample in family.samples:
                labels = frozenset({**sample.labels, **target}.items())
                self.series[sample.name][labels].append((at, sample.value))

    def ask(self, node: Node, at: float) -> Vector:
        """The value of an expression at a time."""
        match node.kind:
            case "selector":
                return self._newest(node, at)
            case "comparison":
                return self._compared(node, at)
            case "set":
                return self._set(node, at)
            case "aggregation":
                return self._aggregated(node, at)
            case "arithmetic" if node.name == "/":
                return self._divided(node, at)
            case "function":
                return self._called(node, at)
            case _:
                pass
        raise ValueError(f"not evaluated here: {node.kind} {node.name}")

    def _called(self, node: Node, at: float) -> Vector:
        match node.name:
            case "absent":
                return {} if self.ask(node.operands[0], at) else {frozenset(): 1.0}
            case "increase" | "rate":
                return self._increased(node, at)
            case _:
                pass
        raise ValueError(f"not evaluated here: {node.kind} {node.name}")

    def _divided(self, node: Node, at: float) -> Vector:
        left, right = (self.ask(one, at) for one in node.operands)
        return {key: _quotient(left[key], right[key]) for key in left.keys() & right.keys()}

    def _matching(self, node: Node) -> Iterator[tuple[Labels, list[tuple[float, float]]]]:
        for labels, points in self.series.get(node.name, {}).items():
            named = dict(labels)
            if all(_matches(named.get(name, ""), *rest) for name, *rest in node.matchers):
                yield labels, points

    def _newest(self, node: Node, at: float) -> Vector:
        found: Vector = {}
        for labels, points in self._matching(node):
            upto = bisect_right(points, (at, math.inf))
            if upto and points[upto - 1][0] > at - LOOKBACK_SECONDS:
                found[labels] = points[upto - 1][1]
        return found

    def _compared(self, node: Node, at: float) -> Vector:
        left, right = node.operands
        compare, limit = COMPARISONS[node.name], float(right.name)
        return {key: value for key, value in self.ask(left, at).items() if compare(value, limit)}

    def _set(self, node: Node, at: float) -> Vector:
        left, right = (self.ask(one, at) for one in node.operands)
        there = {_only(labels, node.labels) for labels in right}
        wanted = node.name == "and"
        return {k: v for k, v in left.items() if (_only(k, node.labels) in there) is wanted}

    def _aggregated(self, node: Node, at: float) -> Vector:
        groups: dict[Labels, list[float]] = defaultdict(list)
        for labels, value in self.ask(node.operands[0], at).items():
            groups[_only(labels, node.labels)].append(value)
        return {labels: AGGREGATIONS[node.name](values) for labels, values in groups.items()}

    def _increased(self, node: Node, at: float) -> Vector:
        (selector,) = node.operands
        found: Vector = {}
        for labels, points in self._matching(selector):
            seen = [value for when, value in points if at - selector.seconds <= when <= at]
            steps = pairwise(seen)
            gained = sum(b - a if b >= a else b for a, b in steps)
            found[labels] = gained / (selector.seconds if node.name == "rate" else 1)
        return found


def _quotient(value: float, by: float) -> float:
    return value / by if by else value * math.inf


def _matches(value: str, how: str, wanted: str) -> bool:
    if how == "=~":
        return re.fullmatch(wanted, value) is not None
    return (value == wanted) is (how == "=")


def _only(labels: Labels, names: Sequence[str]) -> Labels:
    return frozenset(pair for pair in labels if pair[0] in names)
