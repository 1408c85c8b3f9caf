"""Metrics of the whole fleet, as every host exports them: worked out at each scrape.

Gap and lag are NaN while unknown, and a comparison with NaN is never true: so alarms are built on
`projector_healthy` and on the ages, which are always numbers and grow while nothing is known.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from projector.core.health import Diagnosis, Health, RangeFacts
from projector.core.names import LeaseToken
from projector.core.ranges import FeedRange
from projector.core.states import RangeFailure

BY_RANGE = ("feed_range", "lease_token")


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """An open replay of a range.

    Attributes:
        seconds: since it was asked for.
        gap_changes: changes up to the mark where its sweep may begin; None before it has begun.
        mark_lsn: that mark.
    """

    lease_token: LeaseToken
    feed_range: FeedRange
    seconds: float
    gap_changes: int | None
    mark_lsn: int | None

    @property
    def ratio(self) -> float:
        """How much of it has been read, from 0 to 1; at 1 its sweep may still be under way."""
        if self.gap_changes is None or self.mark_lsn is None:
            return 0.0
        return 1.0 - self.gap_changes / self.mark_lsn if self.mark_lsn > 0 else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetFigures:
    """What a host knows of the fleet.

    Attributes:
        look_age_seconds: age of the picture.
        known_seconds: how long this host has been looking.
        now: by the clock of the database; None before it told it.
        errors: the last error of each range that has one.
        quarantined, drift_found, verified_seconds: None while unknown, or never.
        replays: those that are open.
        blocked_seconds: per role and application how long it has kept sessions of ours waiting.
    """

    diagnosis: Diagnosis
    look_age_seconds: float
    known_seconds: float
    now: datetime | None = None
    errors: Mapping[LeaseToken, RangeFailure] = field(default_factory=dict)
    quarantined: int | None = None
    drift_found: int | None = None
    verified_seconds: float | None = None
    replays: Sequence[Replay] = ()
    blocked_seconds: Mapping[tuple[str, str], float] = field(default_factory=dict)

    @property
    def oldest_seconds(self) -> float:
        """How old the rows of some range are at most; always a number."""
        ages = [_complete_age(one.facts) for one in self.diagnosis.ranges]
        return max(ages, default=self.known_seconds)

    @property
    def verification_age_seconds(self) -> float:
        """Since the last verification; where there was none, since somebody looks."""
        if self.verified_seconds is None:
            return self.known_seconds
        return max(0.0, self.verified_seconds)


def _complete_age(facts: RangeFacts) -> float:
    known = facts.complete_age_seconds
    return facts.read_age_seconds if known is None else known


T = TypeVar("T")
_Figure = tuple[str, str, Callable[[T], float | None]]
"""A metric with one value for each T: its name, what it says, where the value is."""


_OF_RANGES: Sequence[_Figure[RangeFacts]] = (
    (
        "projector_fleet_gap_changes",
        "Changes of the range that are not in the rows; NaN while unknown.",
        lambda facts: facts.gap_changes,
    ),
    (
        "projector_fleet_lag_seconds",
        "Age of the oldest change that is not in the rows; NaN while unknown.",
        lambda facts: facts.lag_seconds,
    ),
    (
        "projector_fleet_read_age_seconds",
        "Since the last answered read of the range, whoever read; always a number.",
        lambda facts: facts.read_age_seconds,
    ),
    (
        "projector_fleet_commit_age_seconds",
        "Since the last commit of the range, whoever wrote; always a number.",
        lambda facts: facts.commit_age_seconds,
    ),
    (
        "projector_fleet_complete_age_seconds",
        "How old the range's rows are at most; always a number.",
        _complete_age,
    ),
)


_OF_REPLAYS: Sequence[_Figure[Replay]] = (
    (
        "projector_replay_progress_ratio",
        "How much of the range's open replay has been read, 0 to 1.",
        lambda replay: replay.ratio,
    ),
    (
        "projector_replay_gap_changes",
        "Changes up to the mark of the range's open replay; NaN before it has begun.",
        lambda replay: replay.gap_changes,
    ),
    (
        "projector_replay_age_seconds",
        "Since the range's open replay was asked for.",
        lambda replay: replay.seconds,
    ),
)


_OF_THE_WHOLE: Sequence[_Figure[FleetFigures]] = (
    (
        "projector_fleet_look_age_seconds",
        "Since this host last saw all ranges; always a number.",
        lambda figures: figures.look_age_seconds,
    ),
    (
        "projector_quarantine_open",
        "Open quarantine entries; NaN before the first look.",
        lambda figures: figures.quarantined,
    ),
    (
        "projector_replays_open",
        "Ranges with a replay that is asked for or under way.",
        lambda figures: len(figures.replays),
    ),
    (
        "projector_verification_drift",
        "Rows and totals that the last verification found wrong and left so; NaN: never verified.",
        lambda figures: figures.drift_found,
    ),
    (
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
        return [*_whole(None), *_ranges(()), *_replays(()), _blocked({})]

    @override
    def collect(self) -> Iterator[Metric]:
        """The metrics as of now."""
        figures = self._figures()
        yield from _whole(figures)
        yield from _ranges([one.facts for one in figures.diagnosis.ranges])
        yield from _replays(figures.replays)
        yield _blocked(figures.blocked_seconds or {("", ""): 0.0})


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
    of_it = [] if figures is None else [((), figures)]
    yield from _families(_OF_THE_WHOLE, of_it, labels=())


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _ranges(ranges: Iterable[RangeFacts]) -> Iterator[Metric]:
    found = [((one.feed_range or "", one.lease_token or ""), one) for one in ranges]
    return _families(_OF_RANGES, found, labels=BY_RANGE)


def _replays(replays: Iterable[Replay]) -> Iterator[Metric]:
    found = [((one.feed_range, one.lease_token), one) for one in replays]
    return _families(_OF_REPLAYS, found, labels=BY_RANGE)


def _families(
    figures: Iterable[_Figure[T]],
    found: Sequence[tuple[Sequence[object], T]],
    *,
    labels: Sequence[str],
) -> Iterator[Metric]:
    for name, text, value in figures:
        family = GaugeMetricFamily(name, text, labels=labels)
        for whose, one in found:
            family.add_metric([str(label) for label in whose], _number(value(one)))
        yield family


def _blocked(seconds: Mapping[tuple[str, str], float]) -> Metric:
    family = GaugeMetricFamily(
        "projector_target_blocked_seconds",
        "How long somebody keeps sessions of ours waiting for a lock of PostgreSQL; 0 for nobody.",
        labels=("role", "application"),
    )
    for who, waited in seconds.items():
        family.add_metric(list(who), waited)
    return family
