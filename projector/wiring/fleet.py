"""What a host knows of all ranges: its own, those of other hosts, and those that nobody reads.

It looks at PostgreSQL every few seconds, and asks the source about ranges of which no owner speaks.
Between two looks, and while a look fails, ages go on growing: an old picture is never a fine one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from projector.core.errors import FeedError, LeaseError, ProjectorError
from projector.core.health import Diagnosis, RangeFacts, diagnose
from projector.ports.feed import Clock, RangeReport
from projector.postgres.connections import Connections
from projector.processor.estimator import Estimator
from projector.settings import Settings
from projector.telemetry.fleet import FleetFigures
from projector.wiring.events import Event
from projector.wiring.status import (
    RangeStatus,
    asked,
    facts,
    keys_without,
    limits_of,
    picture,
)
from projector.wiring.witnesses import Target, ask_target, with_own

LOOK_SECONDS = 5.0
EAGER_SECONDS = 1.0
YOUNG_SECONDS = 60.0
"""A host that has just started looks more often, until all is well."""

ASK_SECONDS = 5.0
"""What the source gets to tell of ranges of which no owner speaks: PostgreSQL is looked at all the same."""

NO_ANSWER = "no answer"
OLD_SECONDS = 15.0
"""A picture older than that says nothing about now."""


log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One look: what PostgreSQL said, when (monotonic), and what the source said of the rest."""

    target: Target
    at: float
    estimated: Sequence[RangeStatus] = ()


class FleetWatch:
    """The looking task of one host, and what it makes of it."""

    def __init__(
        self,
        *,
        settings: Settings,
        clock: Clock,
        own: Callable[[], Sequence[RangeReport]],
        conflict: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Know nothing yet.

        Args:
            settings: What a person has chosen.
            clock: Time between looks.
            own: How this host's ranges are this moment.
            conflict: Why no range can be believed, if so.
        """
        self._conflict = conflict
        self._settings = settings
        self._clock = clock
        self._own = own
        self._since = clock.monotonic()
        self._seen: Seen | None = None
        self._failure = "the host is starting and has not reached PostgreSQL and Cosmos DB yet"

    async def run(self, connections: Connections, estimator: Estimator) -> None:
        """Look until cancelled; what fails is told by `figures`."""
        while True:
            try:
                await self._look(connections, estimator)
            except (ProjectorError, TimeoutError) as error:
                self._failure = str(error) or NO_ANSWER
            except Exception as error:  # noqa: BLE001 - looking must not stop the host
                self._failure = f"{type(error).__name__}: {error}"
                log.warning(Event.LOOK_FAILED, error=self._failure)
            await self._clock.sleep(self._pause_seconds())

    def _pause_seconds(self) -> float:
        young = self._clock.monotonic() - self._since < YOUNG_SECONDS
        return EAGER_SECONDS if young and not self.diagnosis().healthy else LOOK_SECONDS

    async def _look(self, connections: Connections, estimator: Estimator) -> None:
        at = self._clock.monotonic()
        async with asyncio.timeout(OLD_SECONDS):
            counted = None if self._seen is None else self._seen.target
            target = await ask_target(connections, counted=counted)
        self._seen, self._failure = Seen(target=target, at=at), NO_ANSWER
        ranges = self._picture(with_own(target, self._own()))
        silent = [one for one in ranges if not one.heard(target.now)]
        try:
            async with asyncio.timeout(ASK_SECONDS):
                estimated = await asked(silent, target, estimator, now=target.now)
        except (FeedError, LeaseError, TimeoutError):
            return  # how far those are stays unknown
        self._seen = replace(self._seen, estimated=estimated)

    def diagnosis(self) -> Diagnosis:
        """The health of the whole as of now."""
        return self.figures().diagnosis

    def figures(self) -> FleetFigures:
        """What the metrics show, as of now."""
        known_seconds = self._clock.monotonic() - self._since
        seen = self._seen
        if seen is None:
            nothing = _ages((), known_seconds, self._clock.now())
            diagnosis = diagnose(nothing, limits=limits_of(self._settings), silent=[self._failure])
            return FleetFigures(
                diagnosis=diagnosis, look_age_seconds=known_seconds, known_seconds=known_seconds
            )
        age = self._clock.monotonic() - seen.at
        now = seen.target.now + timedelta(seconds=age)
        target = with_own(replace(seen.target, now=now), self._own())
        ranges = _joined(self._picture(target), seen.estimated, target)
        verified_at = target.verified_at
        return FleetFigures(
            diagnosis=diagnose(
                _ages(ranges, known_seconds, now),
                limits=limits_of(self._settings),
                silent=self._silence(age),
            ),
            look_age_seconds=age,
            known_seconds=known_seconds,
            quarantined=target.quarantined,
            drift_found=target.drift_found,
            verified_seconds=None if verified_at is None else (now - verified_at).total_seconds(),
        )

    def _picture(self, target: Target) -> Sequence[RangeStatus]:
        return picture(None, target, now=target.now, settings=self._settings)

    def _silence(self, age: float) -> Sequence[str]:
        conflict = self._conflict()
        if conflict is not None:
            return (conflict,)
        if age <= OLD_SECONDS:
            return ()
        return (f"PostgreSQL has not answered for {age:.0f} s: {self._failure}",)


def _ages(
    ranges: Sequence[RangeStatus], known_seconds: float, now: datetime
) -> Sequence[RangeFacts]:
    since = now - timedelta(seconds=known_seconds)
    return facts(ranges, keys_without(ranges), now=now, known_since=since)


def _joined(
    ranges: Sequence[RangeStatus], estimated: Sequence[RangeStatus], target: Target
) -> Sequence[RangeStatus]:
    """The source's word for ranges of which no owner speaks."""
    told = {one.lease_token: one for one in estimated}
    return [
        one
        if one.heard(target.now) or one.lease_token not in told
        else replace(
            one,
            gap_changes=told[one.lease_token].gap_changes,
            lag_seconds=told[one.lease_token].lag_seconds,
        )
        for one in ranges
    ]
