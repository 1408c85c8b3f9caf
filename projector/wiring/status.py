"""One picture of all ranges, from any process, beside running hosts and without them.

Three witnesses: the lease says who owns the range, PostgreSQL says what is committed, and the
owner's newest report says what it is doing. Where no fresh report speaks, the source itself is
asked how far the bookmark is behind. What nobody knows is None, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from projector.core.errors import FeedError, LeaseError, SinkUnavailable
from projector.core.names import Continuation, InstanceName, LeaseToken
from projector.core.ranges import FeedRange
from projector.core.states import FailureCategory, RangeFailure, RangeState
from projector.ports.feed import Clock, RangeReport
from projector.postgres.connections import Connections
from projector.postgres.entries import count_open
from projector.postgres.positions import RangePosition, StoredReport, positions, reports
from projector.processor.estimator import Estimator, RangeEstimate
from projector.settings import Settings
from projector.wiring.account import Account, account

FRESH_SECONDS = 10.0
"""A report is written every second; an older one says nothing about now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeStatus:
    """What is known of one range; None is unknown."""

    lease_token: LeaseToken
    feed_range: FeedRange | None
    owner: InstanceName | None
    continuation: Continuation | None = None
    lsn: int | None = None
    position_time: datetime | None = None
    gap_changes: int | None = None
    lag_seconds: float | None = None
    last_poll_at: datetime | None = None
    last_commit_at: datetime | None = None
    state: RangeState | None = None
    state_since: datetime | None = None
    last_error: RangeFailure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """All ranges, lowest keys first, and how many documents are in quarantine.

    `silent` names a neighbour that did not answer, so that its part is unknown.
    """

    ranges: Sequence[RangeStatus]
    quarantined: int | None
    silent: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """PostgreSQL's part of the picture."""

    positions: Sequence[RangePosition]
    reports: Mapping[LeaseToken, StoredReport]
    quarantined: int


async def look(settings: Settings, connections: Connections, *, clock: Clock) -> Status:
    """Asks leases, source and target once; an outage of one leaves its part unknown.

    Raises:
        ConfigurationError: A key, a name or a right is wrong.
    """
    silent = []
    target: Target | None = None
    estimates: Sequence[RangeEstimate] | None = None
    try:
        target = await _target(connections)
    except SinkUnavailable as error:
        silent.append(str(error))
    try:
        async with account(settings, clock=clock) as opened:
            estimates = await _estimates(opened, target, clock)
    except (FeedError, LeaseError) as error:
        silent.append(str(error))
    ranges = _picture(estimates, target, now=clock.now(), settings=settings)
    return Status(
        ranges=ranges, quarantined=None if target is None else target.quarantined, silent=silent
    )


async def _target(connections: Connections) -> Target:
    return Target(
        positions=await positions(connections),
        reports={stored.report.lease_token: stored for stored in await reports(connections)},
        quarantined=await count_open(connections),
    )


async def _estimates(
    opened: Account, target: Target | None, clock: Clock
) -> Sequence[RangeEstimate]:
    return await Estimator(source=opened.source, leases=opened.leases, clock=clock).estimate()


def _picture(
    estimates: Sequence[RangeEstimate] | None,
    target: Target | None,
    *,
    now: datetime,
    settings: Settings,
) -> Sequence[RangeStatus]:
    if estimates is None:
        stored = () if target is None else target.positions
        told = [_from_position(position) for position in stored]
    else:
        told = [_from_estimate(estimate, now) for estimate in estimates]
    whole = [_completed(one, target, now=now, settings=settings) for one in told]
    return sorted(
        whole, key=lambda one: (one.feed_range.min if one.feed_range else "", one.lease_token)
    )


def _from_position(position: RangePosition) -> RangeStatus:
    return RangeStatus(lease_token=position.lease_token, feed_range=position.feed_range, owner=None)


def _from_estimate(estimate: RangeEstimate, now: datetime) -> RangeStatus:
    return RangeStatus(
        lease_token=estimate.lease_token,
        feed_range=estimate.feed_range,
        owner=estimate.owner,
        continuation=estimate.continuation,
        lsn=estimate.lsn,
        gap_changes=estimate.gap_changes,
        lag_seconds=estimate.lag_seconds,
        state=RangeState.STOPPED if estimate.owner is None else None,
        state_since=estimate.written_at if estimate.owner is None else None,
        last_error=_unreadable(estimate, now) if estimate.unreadable else None,
    )


def _unreadable(estimate: RangeEstimate, now: datetime) -> RangeFailure:
    return RangeFailure(
        category=FailureCategory.LEASE,
        error_type="LeaseUnreadable",
        message=estimate.error or "",
        first_seen_at=now,
    )


def _completed(
    one: RangeStatus, target: Target | None, *, now: datetime, settings: Settings
) -> RangeStatus:
    if target is None:
        return one
    position = _position_of(one, target.positions)
    if position is not None:
        one = replace(
            one,
            continuation=position.continuation,
            lsn=position.lsn,
            position_time=position.time,
            last_commit_at=position.last_commit_at,
        )
    stored = target.reports.get(one.lease_token)
    if stored is None:
        return one
    return _with_report(one, stored, now=now, settings=settings)


def _with_report(
    one: RangeStatus, stored: StoredReport, *, now: datetime, settings: Settings
) -> RangeStatus:
    report = stored.report
    one = replace(
        one, last_poll_at=report.last_poll_at, last_error=one.last_error or report.failure
    )
    age = now - stored.reported_at
    if not _is_of_owner(one, report) or age > timedelta(seconds=settings.lease_expiration_seconds):
        return one
    one = replace(one, owner=report.owner, state=report.state, state_since=report.state_since)
    if age > timedelta(seconds=FRESH_SECONDS):
        return one
    return replace(one, gap_changes=report.gap_changes, lag_seconds=report.lag_seconds)


def _is_of_owner(one: RangeStatus, report: RangeReport) -> bool:
    """Whether the report speaks for the present owner: that of the lease, where the lease is known."""
    if one.owner is None:
        return one.state is None and report.state is not RangeState.STOPPED
    return one.owner.casefold() == report.owner.casefold()


def _position_of(one: RangeStatus, stored: Sequence[RangePosition]) -> RangePosition | None:
    same = [position for position in stored if position.lease_token == one.lease_token]
    keys = one.feed_range
    if keys is not None:
        same = [p for p in same if p.feed_range == keys] or [
            p for p in stored if p.feed_range.covers(keys)
        ]
    return same[0] if same else None
