"""Metrics of the whole fleet, as every host exports them: worked out at each scrape.

Gap and lag are NaN while unknown, and a comparison with NaN is never true: so alarms are built on
`projector_healthy` and on the ages, which are always numbers and grow while nothing is known.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from projector.core.health import Diagnosis, Health, RangeFacts
from projector.core.names import LeaseToken
from projector.core.states import RangeFailure

BY_RANGE = ("feed_range", "lease_token")


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetFigures:
    """What a host knows of the fleet.

    Attributes:
        look_age_seconds: age of the picture.
        known_seconds: how long this host has been looking.
        now: by the clock of the database; None before it told it.
        errors: the last error of each range that has one.
        quarantined, drift_found, verified_seconds: None while unknown, or never.
    """

    diagnosis: Diagnosis
    look_age_seconds: float
    known_seconds: float
    now: datetime | None = None
    errors: Mapping[LeaseToken, RangeFailure] = field(default_factory=dict)
    quarantined: int | None = None
    drift_found: int | None = None
    verified_seconds: float | None = None

    @property
    def verification_age_seconds(self) -> float:
        """Since the last verification; where there was none, since somebody looks."""
        if self.verified_seconds is None:
            return self.known_seconds
        return max(0.0, self.verified_seconds)


@dataclass(frozen=True, slots=True)
class _Figure:
    """A metric with one value per range."""

    name: str
    text: str
    value: Callable[[RangeFacts], float | None]


_OF_RANGES = (
    _Figure(
        "projector_fleet_gap_changes",
        "Changes of the range that are not in the rows; NaN while unknown.",
        lambda facts: facts.gap_changes,
    ),
    _Figure(
        "projector_fleet_lag_seconds",
        "Age of the oldest change that is not in the rows; NaN while unknown.",
        lambda facts: facts.lag_seconds,
    ),
    _Figure(
        "projector_fleet_read_age_seconds",
        "Since the last answered read of the range, whoever read; always a number.",
        lambda facts: facts.read_age_seconds,
    ),
    _Figure(
        "projector_fleet_commit_age_seconds",
        "Since the last commit of the range, whoever wrote; always a number.",
        lambda facts: facts.commit_age_seconds,
    ),
    _Figure(
        "projector_fleet_complete_age_seconds",
        "How old the range's rows are at most; always a number.",
        lambda facts: (
            facts.read_age_seconds
            if facts.complete_age_seconds is None
            else facts.complete_age_seconds
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class _Sum:
    """A metric with one value."""

    name: str
    text: str
    value: Callable[[FleetFigures], float | None]


_OF_THE_WHOLE = (
    _Sum(
        "projector_fleet_look_age_seconds",
        "Since this host last saw all ranges; always a number.",
        lambda figures: figures.look_age_seconds,
    ),
    _Sum(
        "projector_quarantine_open",
        "Open quarantine entries; NaN before the first look.",
        lambda figures: figures.quarantined,
    ),
    _Sum(
        "projector_verification_drift",
        "Rows and totals that the last verification found wrong and left so; NaN: never verified.",
        lambda figures: figures.drift_found,
    ),
    _Sum(
        "projector_verification_age_seconds",
        "Since the last verification, or since this host started; always a number.",
        lambda figures: figures.verification_age_seconds,
    ),
)


class FleetCollector(Collector):
    """Turns figures into metrics."""

    def __init__(self, figures: Callable[[], FleetFigures]) -> None:
        """Ask `figures` at each scrape."""
        self._figures = figures

    def describe(self) -> Iterable[Metric]:
        """The metrics without values."""
        return [*_whole(None), *_ranges(())]

    @override
    def collect(self) -> Iterator[Metric]:
        """The metrics as of now."""
        figures = self._figures()
        yield from _whole(figures)
        yield from _ranges([one.facts for one in figures.diagnosis.ranges])


def _whole(figures: FleetFigures | None) -> Iterator[Metric]:
    healthy = GaugeMetricFamily(
        "projector_healthy", "1 while `projector health` would end with 0, else 0."
    )
    health = GaugeMetricFamily(
        "projector_health", "1 for the health of the whole.", labels=["health"]
    )
    counts = GaugeMetricFamily(
        "projector_fleet_ranges", "Ranges of that health.", labels=["health"]
    )
    if figures is not None:
        diagnosis = figures.diagnosis
        healthy.add_metric([], float(diagnosis.healthy))
        found = Counter(one.verdict.health for one in diagnosis.ranges)
        for kind in Health:
            health.add_metric([kind.value], float(kind is diagnosis.health))
            counts.add_metric([kind.value], found[kind])
    yield from (healthy, health, counts)
    for one in _OF_THE_WHOLE:
        family = GaugeMetricFamily(one.name, one.text)
        if figures is not None:
            family.add_metric([], _number(one.value(figures)))
        yield family


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _ranges(ranges: Iterable[RangeFacts]) -> Iterator[Metric]:
    every = list(ranges)
    for figure in _OF_RANGES:
        family = GaugeMetricFamily(figure.name, figure.text, labels=BY_RANGE)
        for facts in every:
            value = figure.value(facts)
            labels = [str(facts.feed_range or ""), str(facts.lease_token or "")]
            family.add_metric(labels, _number(value))
        yield family
