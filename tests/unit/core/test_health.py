from __future__ import annotations

from dataclasses import replace

import pytest

from projector.core.health import (
    Diagnosis,
    Health,
    Limits,
    RangeFacts,
    diagnose,
    judge,
)
from projector.core.names import InstanceName, LeaseToken
from projector.core.ranges import FULL_RANGE, FeedRange
from projector.core.states import RangeState

LIMITS = Limits()
FINE = RangeFacts(
    lease_token=LeaseToken("0"),
    feed_range=FULL_RANGE,
    owner=InstanceName("host"),
    opened=True,
    heard=True,
    heard_seconds=1.0,
    state=RangeState.READING,
    state_seconds=500.0,
    gap_changes=0,
    lag_seconds=0.0,
    read_age_seconds=1.0,
    commit_age_seconds=9000.0,
    complete_age_seconds=1.0,
)
BEHIND = {"gap_changes": 7, "lag_seconds": 20.0, "commit_age_seconds": 2.0}
NOBODY = {"heard": False, "owner": None, "state": RangeState.STOPPED}
SILENT = {"heard": False, "state": None, "gap_changes": 7}
UNANSWERED = {"gap_changes": None, "lag_seconds": None}


@pytest.mark.parametrize(
    ("changes", "health", "reason"),
    [
        pytest.param({}, "current", "complete and current", id="quiet and complete"),
        pytest.param(BEHIND, "behind", "7 changes wait, its rows are at most 20 s old", id="busy"),
        pytest.param(
            BEHIND | {"lag_seconds": 301.0}, "behind", "more than the 300 s allowed", id="too late"
        ),
        pytest.param(
            UNANSWERED | {"state": RangeState.THROTTLED, "state_seconds": 2.0},
            "behind",
            "throttles it, its rows are at most 1 s old",
            id="a hiccup",
        ),
        pytest.param(
            UNANSWERED | {"state": RangeState.THROTTLED, "state_seconds": 40.0},
            "not_advancing",
            "Cosmos DB throttles it, for 40 s",
            id="throttled",
        ),
        pytest.param(
            UNANSWERED | {"state": RangeState.WAITING_FOR_SOURCE, "state_seconds": 40.0},
            "not_advancing",
            "Cosmos DB does not answer, for 40 s",
            id="source down",
        ),
        pytest.param(
            BEHIND | {"state": RangeState.WAITING_FOR_TARGET, "state_seconds": 300.0},
            "not_advancing",
            "PostgreSQL does not take its changes, for 5 min",
            id="target down",
        ),
        pytest.param(NOBODY, "not_advancing", "no host reads it, nothing waits", id="no owner"),
        pytest.param(
            NOBODY | {"opened": False, "gap_changes": None},
            "unknown",
            "no host reads it, how much waits is unknown",
            id="never opened",
        ),
        pytest.param(
            SILENT | {"heard_seconds": 30.0},
            "unknown",
            "its owner host has said nothing for 30 s, 7 changes wait",
            id="a silent owner",
        ),
        pytest.param(
            SILENT | {"heard_seconds": 4000.0},
            "not_advancing",
            "its owner host has said nothing for 1 h 6 min",
            id="a dead owner",
        ),
        pytest.param(
            SILENT | {"heard_seconds": None},
            "unknown",
            "never reported",
            id="an owner without word",
        ),
        pytest.param(
            {"state": RangeState.SOURCE_RECREATED}, "not_advancing", "another one", id="parked"
        ),
        pytest.param(
            {"state": RangeState.STOPPED}, "not_advancing", "no host reads it", id="left alone"
        ),
        pytest.param(
            {"read_age_seconds": 61.0}, "not_advancing", "no read of it was answered", id="hangs"
        ),
        pytest.param(
            BEHIND | {"commit_age_seconds": 90.0, "complete_age_seconds": 95.0},
            "not_advancing",
            "7 changes wait, and none was committed for 1 min 30 s",
            id="reads and commits nothing",
        ),
        pytest.param(
            BEHIND | {"commit_age_seconds": 900.0},
            "behind",
            "7 changes",
            id="a change after a rest",
        ),
        pytest.param(
            {"replaying": True, "lag_seconds": None}, "behind", "read from its start", id="replay"
        ),
        pytest.param(
            UNANSWERED | {"complete_age_seconds": None}, "unknown", "is unknown", id="no end told"
        ),
        pytest.param({"lease_token": None}, "unknown", "no host reads the keys -FF", id="no range"),
    ],
)
def test_one_range(changes: dict[str, object], health: str, reason: str) -> None:
    verdict = judge(replace(FINE, **changes), LIMITS)  # type: ignore[arg-type]
    assert verdict.health == health
    assert reason in verdict.reason


def of(*ranges: RangeFacts, silent: tuple[str, ...] = ()) -> Diagnosis:
    return diagnose(ranges, limits=LIMITS, silent=silent)


def test_the_whole_is_as_its_gravest_range() -> None:
    behind, nobody = replace(FINE, **BEHIND), replace(FINE, **NOBODY)  # type: ignore[arg-type]
    unread = replace(FINE, lease_token=None, feed_range=FeedRange(min="3F", max="FF"))
    assert (of(FINE, FINE).health, of(FINE).healthy) == (Health.CURRENT, True)
    assert (of(FINE, behind).health, of(FINE, behind).healthy) == (Health.BEHIND, True)
    assert (of(behind, nobody).health, of(behind, nobody).healthy) == (Health.NOT_ADVANCING, False)
    whole = of(FINE, nobody, unread)
    assert (whole.health, whole.healthy) == (Health.UNKNOWN, False)
    assert whole.reason == "1 of 3 ranges: no host reads the keys 3F-FF"


@pytest.mark.parametrize("lag", [300.1, None])
def test_behind_beyond_the_limit_or_by_nobody_knows_how_much_is_not_healthy(
    lag: float | None,
) -> None:
    late = replace(
        FINE,
        commit_age_seconds=2.0,
        replaying=True,
        gap_changes=3,
        lag_seconds=lag,
        complete_age_seconds=lag,
    )
    whole = of(late)
    assert (whole.health, whole.healthy) == (Health.BEHIND, False)


def test_what_could_not_be_asked_makes_the_whole_unknown() -> None:
    whole = of(FINE, silent=("PostgreSQL does not answer",))
    assert (whole.health, whole.healthy) == (Health.UNKNOWN, False)
    assert whole.reason == "PostgreSQL does not answer"
    assert [one.verdict.health for one in whole.ranges] == [Health.CURRENT]


def test_no_ranges_at_all_are_nothing_to_be_sure_of() -> None:
    assert (of().health, of().healthy) == (Health.UNKNOWN, False)
