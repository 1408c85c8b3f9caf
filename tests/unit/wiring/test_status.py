from __future__ import annotations

from datetime import UTC, datetime, timedelta

from projector.core.names import Continuation, Epoch, InstanceName, LeaseToken
from projector.core.ranges import FULL_RANGE, FeedRange
from projector.core.states import FailureCategory, RangeFailure, RangeState
from projector.ports.feed import RangeReport
from projector.postgres.positions import RangePosition, StoredReport
from projector.processor.estimator import RangeEstimate
from projector.settings import Settings
from projector.wiring.status import RangeStatus, Target, _picture

NOW = datetime(2026, 1, 31, tzinfo=UTC)
LOWER, UPPER = FeedRange(min="", max="1F"), FeedRange(min="1F", max="FF")
FAILURE = RangeFailure(
    category=FailureCategory.SOURCE, error_type="Throttled", message="wait", first_seen_at=NOW
)


def estimate(
    token: str = "0",
    *,
    owner: str | None = "host",
    gap: int | None = 9,
    keys: FeedRange = FULL_RANGE,
) -> RangeEstimate:
    return RangeEstimate(
        lease_token=LeaseToken(token),
        feed_range=keys,
        owner=None if owner is None else InstanceName(owner),
        continuation=Continuation('"5"'),
        written_at=NOW,
        lsn=5,
        gap_changes=gap,
        lag_seconds=None if gap is None else 2.0,
    )


def position(token: str = "0", *, keys: FeedRange = FULL_RANGE) -> RangePosition:
    return RangePosition(
        range_id=1,
        container_rid="rid",
        lease_token=LeaseToken(token),
        feed_range=keys,
        owner=InstanceName("host"),
        epoch=Epoch(1),
        lineage=0,
        started=True,
        continuation=Continuation('"7"'),
        lsn=7,
        time=NOW,
        anchored_from=None,
        last_commit_at=NOW,
        replaying=False,
        replay_mark_lsn=None,
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


def picture(
    estimates: list[RangeEstimate] | None,
    *,
    positions: tuple[RangePosition, ...] = (),
    report: StoredReport | None = None,
    target: bool = True,
) -> list[RangeStatus]:
    reports = {} if report is None else {report.report.lease_token: report}
    whole = Target(positions=positions, reports=reports, quarantined=0)
    return list(_picture(estimates, whole if target else None, now=NOW, settings=Settings()))


def test_a_fresh_report_of_the_owner_speaks_for_the_range() -> None:
    [one] = picture([estimate()], positions=(position(),), report=stored())
    assert (one.gap_changes, one.lag_seconds, one.state) == (0, 0.0, RangeState.READING)
    assert (one.continuation, one.lsn, one.last_commit_at) == ('"7"', 7, NOW)
    assert one.last_error == FAILURE


def test_without_a_fresh_report_the_source_is_asked_how_far_it_is() -> None:
    [one] = picture([estimate()], positions=(position(),), report=stored(age_seconds=11))
    assert (one.gap_changes, one.lag_seconds, one.state) == (9, 2.0, RangeState.READING)


def test_a_report_older_than_the_lease_says_nothing_of_the_state() -> None:
    [one] = picture([estimate()], report=stored(age_seconds=61))
    assert one.state is None
    assert one.last_poll_at == NOW


def test_the_report_of_a_former_owner_does_not_count() -> None:
    [one] = picture([estimate(owner="heir")], report=stored())
    assert (one.owner, one.state, one.gap_changes) == ("heir", None, 9)


def test_a_lease_without_owner_is_stopped() -> None:
    [one] = picture([estimate(owner=None)], report=stored(state=RangeState.STOPPED))
    assert (one.owner, one.state, one.state_since) == (None, RangeState.STOPPED, NOW)


def test_what_nobody_knows_is_unknown_and_not_zero() -> None:
    [one] = picture([estimate(gap=None)], target=False)
    assert (one.gap_changes, one.lag_seconds, one.last_commit_at, one.state) == (None,) * 4


def test_a_range_without_a_position_of_its_own_shows_that_of_the_range_that_covers_it() -> None:
    found = picture(
        [estimate("2", keys=UPPER), estimate("1", keys=LOWER)], positions=(position("0"),)
    )
    assert [(one.lease_token, one.lsn) for one in found] == [("1", 7), ("2", 7)]


def test_while_the_source_is_silent_the_target_alone_speaks() -> None:
    [one] = picture(None, positions=(position(),), report=stored())
    assert (one.owner, one.state, one.lsn) == ("host", RangeState.READING, 7)
    [one] = picture(None, positions=(position(),))
    assert (one.owner, one.state, one.gap_changes) == (None, None, None)


def test_while_both_are_silent_there_is_nothing_to_tell() -> None:
    assert picture(None, target=False) == []
