"""What the suite found: a value per round for each target, and what each variant cost."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from benchmarks.timing import Cost


class Unit(StrEnum):
    """How a value is written."""

    RATIO = "x"
    MILLISECONDS = "ms"
    MEGABYTES = "MB"
    NUMBER = ""


class Verdict(StrEnum):
    """How a measured value stands against its target."""

    STRETCH = "stretch"
    MUST = "must"
    MISSED = "missed"
    REPORT = "report"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is asked for; None where a value is only reported."""

    must: float | None = None
    stretch: float | None = None
    at_most: bool = False

    def meets(self, value: float, bar: float | None) -> bool:
        """Whether the value reaches that bar."""
        if bar is None:
            return False
        return value <= bar if self.at_most else value >= bar


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the table of targets.

    Attributes:
        rounds: the value of each round; the median is what counts.
        remark: what the reader has to know beside the value.
    """

    measure: str
    target: Target
    rounds: Sequence[float]
    unit: Unit = Unit.RATIO
    remark: str = ""

    @property
    def value(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rounds)

    @property
    def verdict(self) -> Verdict:
        """The best bar that the median reaches."""
        if self.target.must is None and self.target.stretch is None:
            return Verdict.REPORT
        if self.target.meets(self.value, self.target.stretch):
            return Verdict.STRETCH
        if self.target.must is None:
            return Verdict.REPORT
        return Verdict.MUST if self.target.meets(self.value, self.target.must) else Verdict.MISSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one case found.

    Attributes:
        costs: per variant, the cost of each round.
        skipped: why a part was not measured; empty when all was.
    """

    case: str
    findings: Sequence[Finding] = ()
    costs: Mapping[str, Sequence[Cost]] = field(default_factory=dict)
    skipped: str = ""


def ratios(ours: Sequence[Cost], theirs: Sequence[Cost]) -> list[float]:
    """Per round, how many times more documents per second ours wrote."""
    return [a.rate / b.rate for a, b in zip(ours, theirs, strict=True)]
