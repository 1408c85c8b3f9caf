"""What a host knows of all ranges: its own, those of other hosts, and those that nobody reads.

It looks at PostgreSQL every few seconds, and asks the source about ranges of which no owner speaks.
Between two looks, and while a look fails, ages go on growing: an old picture is never a fine one.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias

import structlog

from projector.core.errors import FeedError, LeaseError, ProjectorError
from projector.core.health import Diagnosis, Limits, RangeFacts, diagnose
from projector.operations.blocked import Blockers
from projector.operations.status import (
    FRESH_SECONDS,
    AskCopy,
    RangeStatus,
    asked,
    facts,
    keys_without,
    picture,
)
from projector.ports.copy import Blocker, CopyFacts, LastRelease, StoredReport
from projector.ports.feed import Clock, RangeReport
from projector.ports.ranges import StoredRange
from projector.processor.estimator import Estimator
from projector.processor.refusals import Refusals
from projector.telemetry.fleet import FleetFigures, Replay
from projector.telemetry.logs import Event

LOOK_SECONDS = 5.0
EAGER_SECONDS = 1.0
YOUNG_SECONDS = 60.0
"""A host that has just started looks more often, until all is well."""

WATCHED_SECONDS = 30.0

ASK_SECONDS = 5.0
"""What the source gets to tell of ranges of which no owner speaks: PostgreSQL is looked at all the same."""

HOSTS_AT_MOST = 16
NO_ANSWER = "no answer"
RELEASES_EVERY_SECONDS = 1.0
TURN_SECONDS = 0.02
OLD_SECONDS = 15.0
"""A picture older than that says nothing about now."""


log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


AskBlockers: TypeAlias = Callable[[], Awaitable[Sequence[Blocker]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One look: what PostgreSQL said, when (monotonic), and what the source said of the rest."""

    target: CopyFacts
    at: float
    estimated: Sequence[RangeStatus] = ()


class FleetWatch:
    """The looking task of one host, and what it makes of it."""

    def __init__(
        self,
        *,
        limits: Limits,
        clock: Clock,
        own: Callable[[], Sequence[RangeReport]],
        conflict: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Know nothing yet.

        Args:
            limits: What counts as healthy.
            clock: Time between looks.
            own: How this host's ranges are this moment.
            conflict: Why no range can be believed, if so.
        """
        self._conflict = conflict
        self._limits = limits
        self._clock = clock
        self._own = own
        self._since = clock.monotonic()
        self._seen: Seen | None = None
        self._blockers = Blockers()
        self._watched_until = self._since
        self._failure = "the host is starting and has not reached PostgreSQL and Cosmos DB yet"

    async def run(self, ask_copy: AskCopy, estimator: Estimator, ask_blockers: AskBlockers) -> None:
        """Look until cancelled; what fails is told by `figures`.

        Who blocks us is asked first and by itself: it may well be the tables of a look that are locked.
        """
        while True:
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    self._blockers.look(await ask_blockers(), at=self._clock.monotonic())
                await self._look(ask_copy, estimator)
            except (ProjectorError, TimeoutError) as error:
                self._failure = str(error) or NO_ANSWER
            except Exception as error:  # noqa: BLE001 - looking must not stop the host
                self._failure = f"{type(error).__name__}: {error}"
                log.warning(Event.LOOK_FAILED, error=self._failure)
            await self._clock.sleep(self._pause_seconds())

    def watched(self) -> None:
        """Somebody looks at it just now, so that it looks more often for a while."""
        self._watched_until = self._clock.monotonic() + WATCHED_SECONDS

    def _pause_seconds(self) -> float:
        if self._clock.monotonic() < self._watched_until:
            return EAGER_SECONDS
        young = self._clock.monotonic() - self._since < YOUNG_SECONDS
        return EAGER_SECONDS if young and not self.diagnosis().healthy else LOOK_SECONDS

    async def _look(self, ask_copy: AskCopy, estimator: Estimator) -> None:
        at = self._clock.monotonic()
        async with asyncio.timeout(OLD_SECONDS):
            counted = None if self._seen is None else self._seen.target
            target = await ask_copy(counted)
        self._seen, self._failure = Seen(target=target, at=at), NO_ANSWER
        ranges = self._picture(with_own(target, self._own()))
        silent = [one for one in ranges if not one.heard(target.now)]
        try:
            async with asyncio.timeout(ASK_SECONDS):
                estimated = await asked(silent, target, estimator, now=target.now)
        except (FeedError, LeaseError, TimeoutError):
            return  # how far those are stays unknown
        self._seen = replace(self._seen, estimated=estimated)

    def hosts(self) -> int:
        """How many hosts have spoken of late; before the first look, rather too many."""
        if self._seen is None:
            return HOSTS_AT_MOST
        told = self._seen.target.reports.values()
        now, fresh = self._seen.target.now, timedelta(seconds=FRESH_SECONDS)
        return len({one.report.owner for one in told if now - one.reported_at <= fresh}) or 1

    def diagnosis(self) -> Diagnosis:
        """The health of the whole as of now."""
        return self.figures().diagnosis

    def figures(self) -> FleetFigures:
        """What the metrics show, as of now."""
        known_seconds = self._clock.monotonic() - self._since
        seen = self._seen
        if seen is None:
            nothing = _ages((), known_seconds, self._clock.now())
            diagnosis = diagnose(nothing, limits=self._limits, silent=[self._failure])
            return FleetFigures(
                diagnosis=diagnosis,
                look_age_seconds=known_seconds,
                known_seconds=known_seconds,
                blocked_seconds=self._blockers.seconds(),
            )
        age = self._clock.monotonic() - seen.at
        now = seen.target.now + timedelta(seconds=age)
        target = with_own(replace(seen.target, now=now), self._own())
        ranges = _joined(self._picture(target), seen.estimated, target)
        verified_at = target.verified_at
        return FleetFigures(
            diagnosis=diagnose(
                _ages(ranges, known_seconds, now),
                limits=self._limits,
                silent=self._silence(age),
            ),
            look_age_seconds=age,
            known_seconds=known_seconds,
            now=now,
            errors={one.lease_token: one.last_error for one in ranges if one.last_error},
            quarantined=target.quarantined,
            drift_found=target.drift_found,
            verified_seconds=None if verified_at is None else (now - verified_at).total_seconds(),
            replays=[replay_of(one, now) for one in target.positions if one.replaying],
            blocked_seconds=self._blockers.seconds(),
        )

    def _picture(self, target: CopyFacts) -> Sequence[RangeStatus]:
        return picture(None, target, now=target.now, limits=self._limits)

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


def replay_of(stored: StoredRange, now: datetime) -> Replay:
    """How far the open replay of a range is; one that has not begun has all of it before it."""
    mark, since = stored.replay_mark_lsn, stored.replay_since
    return Replay(
        lease_token=stored.lease_token,
        feed_range=stored.feed_range,
        seconds=0.0 if since is None else max(0.0, (now - since).total_seconds()),
        gap_changes=None if mark is None else max(0, mark - (stored.lsn or 0)),
        mark_lsn=mark,
    )


def _joined(
    ranges: Sequence[RangeStatus], estimated: Sequence[RangeStatus], target: CopyFacts
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


def with_own(target: CopyFacts, own: Sequence[RangeReport]) -> CopyFacts:
    """The same, with what this host says of its own ranges this moment."""
    mine = {report.lease_token: _told_now(target, _by_clock_of(target, report)) for report in own}
    return replace(target, reports={**target.reports, **mine})


def _told_now(target: CopyFacts, report: RangeReport) -> StoredReport:
    before = target.reports.get(report.lease_token)
    known = [report.caught_up_at, None if before is None else before.complete_at]
    return StoredReport(
        report=report,
        reported_at=target.now,
        complete_at=max((moment for moment in known if moment is not None), default=None),
    )


def _by_clock_of(target: CopyFacts, report: RangeReport) -> RangeReport:
    if report.told_at is None:
        return report
    ahead = target.now - report.told_at
    polled, complete = report.last_poll_at, report.caught_up_at
    return replace(
        report,
        state_since=report.state_since + ahead,
        last_poll_at=None if polled is None else polled + ahead,
        caught_up_at=None if complete is None else complete + ahead,
    )


async def watch_releases(
    ask: Callable[[], Awaitable[LastRelease]],
    *,
    clock: Clock,
    expect_leases: Callable[[float], None],
) -> None:
    """Call `expect_leases` with the seconds to wait whenever another host has released ranges.

    A lease that was released is free, but a host looks for free leases only once per acquire
    interval, and a listing of many leases costs much. The last words of a host that stopped are in
    PostgreSQL, where a look costs next to nothing. The more hosts there are, the longer apart they come.
    """
    seen = None
    refusals = Refusals("looking for freed leases")
    while True:
        await clock.sleep(RELEASES_EVERY_SECONDS)
        try:
            with refusals.told():
                found = await ask()
        except ProjectorError:
            continue
        if found.released_at is not None and found.released_at != seen:
            expect_leases(random.uniform(0, TURN_SECONDS * found.hosts))  # noqa: S311 - spreads hosts
        seen = found.released_at
