"""What PostgreSQL says of the copy, read at once: positions, reports, quarantine, verification.

All times are by the clock of the database: `now` is its time of the look, and reports were moved
to it when they were stored. So ages are right whatever the clock of this machine says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property

from projector.core.names import LeaseToken
from projector.core.ranges import FeedRange
from projector.ports.feed import RangeReport
from projector.postgres.connections import Connections
from projector.postgres.entries import count_open
from projector.postgres.housekeeping import HousekeepingRun, housekeeping_runs
from projector.postgres.positions import (
    RangePosition,
    StoredReport,
    database_time,
    positions,
    reports,
)
from projector.wiring.verify import VERIFICATION

COUNT_EVERY = timedelta(seconds=30)
"""Looks come more often than that; a quarantine of a million entries is dear to count."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """PostgreSQL's part of the picture.

    Attributes:
        now, counted_at: time of the look, and of the counts.
        verified_at: end of the last verification that was carried through; None: never.
        drift_found: what it found and did not mend, rows and totals; None: never.
    """

    now: datetime
    counted_at: datetime
    quarantined: int
    positions: Sequence[RangePosition] = ()
    reports: Mapping[LeaseToken, StoredReport] = field(default_factory=dict)
    verified_at: datetime | None = None
    drift_found: int | None = None

    @cached_property
    def by_range(self) -> Mapping[tuple[LeaseToken, FeedRange | None], RangePosition]:
        """The positions by lease token and keys: there may be a thousand of them."""
        return {(one.lease_token, one.feed_range): one for one in self.positions}


async def ask_target(connections: Connections, *, counted: Target | None = None) -> Target:
    """Look once; what is dear to count is taken from `counted` while that is young.

    Raises: SinkUnavailable, ConfigurationError.
    """
    now = await database_time(connections)
    if counted is None or now - counted.counted_at > COUNT_EVERY:
        counted = await _counted(connections, now)
    return replace(
        counted,
        now=now,
        positions=await positions(connections),
        reports={stored.report.lease_token: stored for stored in await reports(connections)},
    )


async def _counted(connections: Connections, now: datetime) -> Target:
    runs = {run.job: run for run in await housekeeping_runs(connections)}
    verification = runs.get(VERIFICATION)
    return Target(
        now=now,
        counted_at=now,
        quarantined=await count_open(connections),
        verified_at=None if verification is None else verification.last_success_at,
        drift_found=drift_of(verification),
    )


def with_own(target: Target, own: Sequence[RangeReport]) -> Target:
    """The same, with what this host says of its own ranges this moment."""
    mine = {report.lease_token: _told_now(target, _by_clock_of(target, report)) for report in own}
    return replace(target, reports={**target.reports, **mine})


def _told_now(target: Target, report: RangeReport) -> StoredReport:
    before = target.reports.get(report.lease_token)
    known = [report.caught_up_at, None if before is None else before.complete_at]
    return StoredReport(
        report=report,
        reported_at=target.now,
        complete_at=max((moment for moment in known if moment is not None), default=None),
    )


def _by_clock_of(target: Target, report: RangeReport) -> RangeReport:
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


def drift_of(run: HousekeepingRun | None) -> int | None:
    """Rows and totals that a verification found wrong and left so; None: there was none."""
    if run is None or run.result is None:
        return None
    return None if (left := run.result.get("drift_left")) is None else int(left)
