from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from projector.core.health import Health, Limits, diagnose
from projector.core.lease import Lease
from projector.core.names import Continuation, Epoch, InstanceName, LeaseToken
from projector.core.ranges import FULL_RANGE, FeedRange
from projector.core.start import Position
from projector.core.states import FailureCategory, RangeFailure, RangeState
from projector.operations.fleet import with_own
from projector.operations.status import RangeStatus, facts, keys_without, picture
from projector.ports.copy import CopyFacts, HousekeepingRun, StoredReport
from projector.ports.feed import RangeReport
from projector.ports.ranges import StoredRange
from projector.postgres.copy_facts import drift_of

NOW = datetime(2026, 1, 31, tzinfo=UTC)
LOWER, UPPER = FeedRange(min="", max="1F"), FeedRange(min="1F", max="FF")
FAILURE = RangeFailure(
    category=FailureCategory.SOURCE, error_type="Throttled", message="wait", first_seen_at=NOW
)


def lease(token: str = "0", *, owner: str | None = "host", keys: FeedRange = FULL_RANGE) -> Lease:
    return Lease(
        id=token,
        token=LeaseToken(token),
        feed_range=keys,
        owner=None if owner is None else InstanceName(owner),
        continuation=Continuation('"9"'),
        timestamp=NOW,
    )


class Numbers:
    def lsn_of(self, continuation: Continuation) -> int | None:
        return int(continuation.strip('"'))


def position(token: str = "0", *, keys: FeedRange = FULL_RANGE) -> StoredRange:
    return StoredRange(
        range_id=1,
        container_rid="rid",
        lease_token=LeaseToken(token),
        feed_range=keys,
        owner=InstanceName("host"),
        epoch=Epoch(1),
        lineage=0,
        processor_name="p",
        opened_epoch=Epoch(1),
        position=Position(continuation=Continuation('"7"'), lsn=7),
        position_time=NOW,
        last_commit_at=NOW,
    )


def stored(
    *, owner: str = "host", age_seconds: float = 1.0, state: RangeState = RangeState.READING
) -> StoredReport:
    report = RangeReport(
        lease_token=LeaseToken("0"),
        feed_range=FULL_RANGE,
        owner=InstanceName(owner),
        state=state,
        state_since=NOW,
        epoch=Epoch(1),
        last_poll_at=NOW,
        gap_changes=0,
        lag_seconds=0.0,
        failure=FAILURE,
    )
    return StoredReport(report=report, reported_at=NOW - timedelta(seconds=age_seconds))


def told(
    leases: list[Lease] | None,
    *,
    positions: tuple[StoredRange, ...] = (),
    report: StoredReport | None = None,
    target: bool = True,
) -> list[RangeStatus]:
    reports = {} if report is None else {report.report.lease_token: report}
    whole = CopyFacts(now=NOW, counted_at=NOW, quarantined=0, positions=positions, reports=reports)
    known = whole if target else None
    return list(picture(leases, known, now=NOW, limits=Limits(), numbering=Numbers().lsn_of))


def health_of(ranges: list[RangeStatus]) -> Health:
    found = facts(ranges, keys_without(ranges), now=NOW, known_since=NOW)
    return diagnose(found, limits=Limits()).health


def test_a_fresh_report_of_the_owner_speaks_for_the_range() -> None:
    ranges = told([lease()], positions=(position(),), report=stored())
    [one] = ranges
    assert (one.gap_changes, one.lag_seconds, one.state) == (0, 0.0, RangeState.READING)
    assert (one.continuation, one.lsn, one.last_commit_at) == ('"7"', 7, NOW)
    assert one.last_error == FAILURE
    assert health_of(ranges) is Health.CURRENT


def test_an_old_report_says_nothing_of_gap_and_lag() -> None:
    ranges = told([lease()], positions=(position(),), report=stored(age_seconds=11))
    [one] = ranges
    assert (one.gap_changes, one.lag_seconds, one.state) == (None, None, RangeState.READING)
    assert health_of(ranges) is Health.UNKNOWN


def test_a_report_older_than_the_lease_says_nothing_of_the_state() -> None:
    ranges = told([lease()], positions=(position(),), report=stored(age_seconds=61))
    [one] = ranges
    assert one.state is None
    assert one.last_poll_at == NOW
    assert health_of(ranges) is Health.NOT_ADVANCING


def test_the_report_of_a_former_owner_does_not_count() -> None:
    ranges = told([lease(owner="next")], positions=(position(),), report=stored())
    [one] = ranges
    assert (one.owner, one.state, one.gap_changes) == ("next", None, None)
    assert health_of(ranges) is Health.UNKNOWN


def test_a_lease_without_owner_is_stopped() -> None:
    ranges = told(
        [lease(owner=None)], positions=(position(),), report=stored(state=RangeState.STOPPED)
    )
    [one] = ranges
    assert (one.owner, one.state, one.state_since) == (None, RangeState.STOPPED, NOW)
    assert health_of(ranges) is Health.NOT_ADVANCING


def test_what_nobody_knows_is_unknown_and_not_zero() -> None:
    ranges = told([lease()], target=False)
    [one] = ranges
    assert (one.gap_changes, one.lag_seconds, one.last_commit_at, one.state) == (None,) * 4
    assert (one.continuation, one.lsn) == ('"9"', 9)
    assert health_of(ranges) is Health.UNKNOWN


def test_a_range_without_a_position_of_its_own_shows_that_of_the_range_that_covers_it() -> None:
    found = told([lease("2", keys=UPPER), lease("1", keys=LOWER)], positions=(position("0"),))
    assert [(one.lease_token, one.lsn, one.opened) for one in found] == [
        ("1", 7, True),
        ("2", 7, True),
    ]


def test_keys_that_no_host_has_opened_make_the_whole_unknown() -> None:
    fresh = stored()
    lower = position("0", keys=LOWER)
    never = told([lease("0", keys=LOWER), lease("1", keys=UPPER)], positions=(lower,), report=fresh)
    assert [one.opened for one in never] == [True, False]
    assert health_of(never) is Health.UNKNOWN
    without_lease = told([lease("0", keys=LOWER)], positions=(lower,), report=fresh)
    assert list(keys_without(without_lease)) == [UPPER]
    assert health_of(without_lease) is Health.UNKNOWN


def test_while_the_source_is_silent_the_target_alone_speaks() -> None:
    ranges = told(None, positions=(position(),), report=stored())
    [one] = ranges
    assert (one.owner, one.state, one.lsn) == ("host", RangeState.READING, 7)
    assert health_of(ranges) is Health.CURRENT
    ranges = told(None, positions=(position(),))
    [one] = ranges
    assert (one.owner, one.state, one.gap_changes) == (None, None, None)
    assert health_of(ranges) is Health.NOT_ADVANCING


def test_while_both_are_silent_there_is_nothing_to_tell() -> None:
    assert told(None, target=False) == []
    assert health_of([]) is Health.UNKNOWN


def test_a_report_of_an_epoch_that_is_over_says_nothing_of_now() -> None:
    """As between a reset and the moment when the owner notices it."""
    live = replace(stored().report, range_id=1, epoch=Epoch(1))
    for epoch, health in ((1, Health.CURRENT), (2, Health.UNKNOWN)):
        place = replace(position(), epoch=Epoch(epoch))
        ranges = told(
            [lease()], positions=(place,), report=StoredReport(report=live, reported_at=NOW)
        )
        assert health_of(ranges) is health


def test_own_reports_are_moved_to_the_clock_of_the_database() -> None:
    report = replace(stored().report, told_at=NOW - timedelta(hours=1), caught_up_at=NOW)
    target = with_own(CopyFacts(now=NOW, counted_at=NOW, quarantined=0), [report])
    moved = target.reports[LeaseToken("0")].report
    assert moved.caught_up_at == moved.last_poll_at == NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    ("result", "drift"),
    [
        pytest.param(None, None, id="never"),
        pytest.param({"consistent": False, "drift_left": 3}, 3, id="found"),
        pytest.param({"consistent": False, "pending": 7, "drift_left": 0}, 0, id="pending alone"),
        pytest.param({"consistent": True}, None, id="of an older release"),
    ],
)
def test_drift_is_what_the_last_verification_found_and_left(
    result: dict[str, object] | None, drift: int | None
) -> None:
    run = HousekeepingRun(
        job="verify",
        last_success_at=NOW,
        last_error=None,
        result=result,
    )
    assert drift_of(run) == drift
