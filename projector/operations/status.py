"""One picture of all ranges, from any process, beside running hosts and without them.

Three witnesses: the lease says who owns the range, PostgreSQL says what is committed, and the
owner's newest report says what it is doing. Where no fresh report speaks, the source itself is
asked how far the committed position of the rows is behind: never the bookmark, which may be ahead of
rows that came out of a backup. What nobody knows is None, never 0.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

from projector.core.errors import FeedError, LeaseError, SinkUnavailable
from projector.core.health import Diagnosis, Limits, RangeFacts, diagnose
from projector.core.lease import Lease
from projector.core.names import Continuation, InstanceName, LeaseToken
from projector.core.ranges import FULL_RANGE, FeedRange, uncovered
from projector.core.states import FailureCategory, RangeFailure, RangeState
from projector.ports.copy import CopyFacts, StoredReport
from projector.ports.feed import ChangeSource, Clock, LeaseStore, RangeReport
from projector.ports.ranges import StoredRange
from projector.processor.estimator import Behind, Estimator, Span

FRESH_SECONDS = 10.0
"""A report is written every second; an older one says nothing about now."""

Numbering: TypeAlias = Callable[[Continuation], int | None]
"""The LSN of a continuation; None for a form that has none."""

AskCopy: TypeAlias = Callable[[CopyFacts | None], Awaitable[CopyFacts]]
"""Looks at PostgreSQL; what costs much to count is taken from an earlier look while that is young."""


class Account(Protocol):
    """The account, reached."""

    @property
    def source(self) -> ChangeSource:
        """The container."""

    @property
    def leases(self) -> LeaseStore:
        """Its leases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeStatus:
    """What is known of one range; None is unknown.

    Attributes:
        opened: PostgreSQL has a position for all of its keys.
        heard_at: when its present owner told of it last.
        complete_at: when its rows were last known to be complete, at least.
    """

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
    opened: bool = False
    opened_at: datetime | None = None
    replaying: bool = False
    heard_at: datetime | None = None
    complete_at: datetime | None = None

    def heard(self, now: datetime) -> bool:
        """Whether its owner has just spoken."""
        return self.heard_at is not None and now - self.heard_at <= timedelta(seconds=FRESH_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """All ranges, lowest keys first, and how many documents are in quarantine.

    `silent` names a neighbour that did not answer, so that its part is unknown; `uncovered` are
    keys without a range; `diagnosis` is what all of it means.
    """

    ranges: Sequence[RangeStatus]
    quarantined: int | None
    diagnosis: Diagnosis
    silent: Sequence[str] = ()
    uncovered: Sequence[FeedRange] = ()
    verified_at: datetime | None = None
    drift_found: int | None = None


async def look(
    reach: Callable[[], AbstractAsyncContextManager[Account]],
    ask_copy: AskCopy,
    *,
    limits: Limits,
    clock: Clock,
) -> Status:
    """Asks leases, source and target once; an outage of one leaves its part unknown.

    Raises:
        ConfigurationError: A key, a name or a right is wrong.
    """
    silent = []
    target: CopyFacts | None = None
    try:
        target = await ask_copy(None)
    except SinkUnavailable as error:
        silent.append(str(error))
    now = clock.now() if target is None else target.now
    unheard_of: Sequence[str] = tuple(silent)
    try:
        async with reach() as opened:
            leases = await opened.leases.list_leases()
            numbering = opened.source.lsn_of
            ranges = picture(leases, target, now=now, limits=limits, numbering=numbering)
            estimator = Estimator(source=opened.source, leases=opened.leases, clock=clock)
            ranges = await asked(ranges, target, estimator, now=now)
    except (FeedError, LeaseError) as error:
        silent.append(str(error))
        ranges = picture(None, target, now=now, limits=limits)
    missing = keys_without(ranges)
    return Status(
        ranges=ranges,
        quarantined=None if target is None else target.quarantined,
        diagnosis=diagnose(
            facts(ranges, missing, now=now, known_since=now),
            limits=limits,
            silent=unheard_of,
        ),
        silent=silent,
        uncovered=missing,
        verified_at=None if target is None else target.verified_at,
        drift_found=None if target is None else target.drift_found,
    )


def picture(
    leases: Sequence[Lease] | None,
    target: CopyFacts | None,
    *,
    now: datetime,
    limits: Limits,
    numbering: Numbering | None = None,
) -> Sequence[RangeStatus]:
    """What the witnesses say together, lowest keys first; without leases by what is stored."""
    if leases is None:
        stored = () if target is None else target.positions
        told = [_from_position(position) for position in stored]
    else:
        told = [_from_lease(lease, now, numbering) for lease in leases]
    whole = [_completed(one, target, now=now, limits=limits) for one in told]
    return sorted(
        whole, key=lambda one: (one.feed_range.min if one.feed_range else "", one.lease_token)
    )


async def asked(
    ranges: Sequence[RangeStatus], target: CopyFacts | None, estimator: Estimator, *, now: datetime
) -> Sequence[RangeStatus]:
    """The same, where no owner speaks with what the source says of the rows' position.

    Raises: errors of listing the partitions.
    """
    positions = {
        one.lease_token: _spans(one, target)
        for one in ranges
        if target is not None and one.opened and not one.heard(now)
    }
    behind = dict(zip(positions, await estimator.behind(list(positions.values())), strict=True))
    return [_with_estimate(one, behind.get(one.lease_token)) for one in ranges]


def keys_without(ranges: Sequence[RangeStatus]) -> Sequence[FeedRange]:
    """Keys that no range covers; a range that does not tell its keys is unknown by itself."""
    if any(one.feed_range is None for one in ranges):
        return ()
    return uncovered(FULL_RANGE, [one.feed_range for one in ranges if one.feed_range])


def facts(
    ranges: Sequence[RangeStatus],
    missing: Sequence[FeedRange],
    *,
    now: datetime,
    known_since: datetime,
) -> Sequence[RangeFacts]:
    """What health is judged by; ages count from `known_since` where nothing ever happened."""
    since_known = _seconds(now, known_since)
    nobody = [
        RangeFacts(
            lease_token=None,
            feed_range=keys,
            read_age_seconds=since_known,
            commit_age_seconds=since_known,
        )
        for keys in missing
    ]
    return [_facts(one, now=now, known_since=known_since) for one in ranges] + nobody


def _facts(one: RangeStatus, *, now: datetime, known_since: datetime) -> RangeFacts:
    begun = one.opened_at or known_since
    heard = one.heard(now)
    silence = None if one.heard_at is None else _seconds(now, one.heard_at)
    read_age = _seconds(now, one.last_poll_at or begun)
    return RangeFacts(
        lease_token=one.lease_token,
        feed_range=one.feed_range,
        owner=one.owner,
        opened=one.opened,
        heard=heard,
        heard_seconds=silence,
        state=one.state,
        state_seconds=0.0 if one.state_since is None else _seconds(now, one.state_since),
        gap_changes=one.gap_changes,
        lag_seconds=one.lag_seconds,
        read_age_seconds=read_age if silence is None else max(read_age, silence),
        commit_age_seconds=_seconds(now, one.last_commit_at or begun),
        complete_age_seconds=None if one.complete_at is None else _seconds(now, one.complete_at),
        replaying=one.replaying,
    )


def _seconds(now: datetime, since: datetime) -> float:
    return max(0.0, (now - since).total_seconds())


def _from_position(position: StoredRange) -> RangeStatus:
    return RangeStatus(lease_token=position.lease_token, feed_range=position.feed_range, owner=None)


def _from_lease(lease: Lease, now: datetime, numbering: Numbering | None) -> RangeStatus:
    lsn = None
    if lease.continuation is not None and numbering is not None:
        lsn = numbering(lease.continuation)
    return RangeStatus(
        lease_token=lease.token,
        feed_range=lease.feed_range,
        owner=lease.owner,
        continuation=lease.continuation,
        lsn=lsn,
        state=RangeState.STOPPED if lease.owner is None else None,
        state_since=lease.timestamp if lease.owner is None else None,
        last_error=None if lease.unreadable is None else _unreadable(lease.unreadable, now),
    )


def _unreadable(why: str, now: datetime) -> RangeFailure:
    return RangeFailure(
        category=FailureCategory.LEASE,
        error_type="LeaseUnreadable",
        message=why,
        first_seen_at=now,
    )


def _completed(
    one: RangeStatus, target: CopyFacts | None, *, now: datetime, limits: Limits
) -> RangeStatus:
    if target is None:
        return one
    position = _position_of(one, target)
    if position is not None:
        one = replace(
            one,
            continuation=position.continuation,
            lsn=position.lsn,
            position_time=position.position_time,
            last_commit_at=position.last_commit_at,
            opened=bool(_spans(one, target)),
            opened_at=position.opened_at,
            replaying=position.replaying,
            complete_at=position.position_time,
        )
    stored = target.reports.get(one.lease_token)
    if stored is None:
        return one
    return _with_report(one, stored, position, now=now, limits=limits)


def _with_report(
    one: RangeStatus,
    stored: StoredReport,
    position: StoredRange | None,
    *,
    now: datetime,
    limits: Limits,
) -> RangeStatus:
    report = stored.report
    one = replace(
        one,
        last_poll_at=report.last_poll_at,
        last_error=one.last_error or report.failure,
        complete_at=_latest(one.complete_at, stored.complete_at),
    )
    age = now - stored.reported_at
    if not _is_of_owner(one, report) or _is_outdated(report, position):
        return one
    one = replace(one, heard_at=stored.reported_at)
    if age > timedelta(seconds=limits.expiration_seconds):
        return one
    one = replace(one, owner=report.owner, state=report.state, state_since=report.state_since)
    if age > timedelta(seconds=FRESH_SECONDS):
        return one
    return replace(one, gap_changes=report.gap_changes, lag_seconds=report.lag_seconds)


def _latest(*moments: datetime | None) -> datetime | None:
    return max((moment for moment in moments if moment is not None), default=None)


def _is_outdated(report: RangeReport, position: StoredRange | None) -> bool:
    """Whether it speaks of an epoch that is over, as before a reset; 0 is that of no range yet."""
    if position is None or position.feed_range != report.feed_range or not report.range_id:
        return False
    return report.epoch != position.epoch


def _is_of_owner(one: RangeStatus, report: RangeReport) -> bool:
    """Whether the report speaks for the present owner: that of the lease, where the lease is known."""
    if one.owner is None:
        return one.state is None and report.state is not RangeState.STOPPED
    return one.owner.casefold() == report.owner.casefold()


def _position_of(one: RangeStatus, target: CopyFacts) -> StoredRange | None:
    exact = target.by_range.get((one.lease_token, one.feed_range))
    if exact is not None:
        return exact
    stored = target.positions
    same = [position for position in stored if position.lease_token == one.lease_token]
    keys = one.feed_range
    if keys is not None:
        same = [p for p in same if p.feed_range == keys] or [
            p for p in stored if p.feed_range.covers(keys)
        ]
    return same[0] if same else None


def _spans(one: RangeStatus, target: CopyFacts) -> Sequence[Span]:
    """Up to where the rows of these keys are read; nothing unless that is known of all of them."""
    keys = one.feed_range
    if keys is None:
        return ()
    exact, stored = target.by_range.get((one.lease_token, keys)), target.positions
    if exact is not None:  # live ranges do not overlap: no other one holds any of these keys
        stored = (exact,)
    over = [p for p in stored if p.feed_range.overlaps(keys)]
    if any(not p.started for p in over) or uncovered(keys, [p.feed_range for p in over]):
        return ()
    return [Span(feed_range=keys.clip(p.feed_range), continuation=p.continuation) for p in over]


def _with_estimate(one: RangeStatus, behind: Behind | None) -> RangeStatus:
    if behind is None:
        return one
    return replace(one, gap_changes=behind.gap_changes, lag_seconds=behind.lag_seconds)
