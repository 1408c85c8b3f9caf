from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from projector.core.names import InstanceName, LeaseToken
from projector.core.ranges import FeedRange
from projector.operations.rebuild_progress import Look, Meter, Phase, forecast, open_ends
from projector.operations.status import RangeStatus
from projector.ports.generations import FillPart, FillPhase, GenerationRecord, GenerationState
from projector.projection.carts import CARTS

FILLING = GenerationRecord(
    id=2,
    schema="projector_g2",
    control="projector_g2",
    definition=CARTS,
    definition_hash="",
    processor_name="projector",
    state=GenerationState.FILLING,
)
FOLLOWING = replace(FILLING, state=GenerationState.FOLLOWING)
LOW, HIGH = FeedRange(min="", max="80"), FeedRange(min="80", max="FF")


def part(keys: FeedRange, phase: FillPhase, documents: int, **more: Any) -> FillPart:
    return FillPart(feed_range=keys, phase=phase, documents=documents, **{"expected": 500, **more})


def ranged(keys: FeedRange, **more: Any) -> RangeStatus:
    known = {"owner": InstanceName("host"), "opened": True, "lag_seconds": 0.0, "gap_changes": 0}
    return RangeStatus(
        lease_token=LeaseToken(keys.min or "0"), feed_range=keys, **{**known, **more}
    )


def test_a_load_tells_documents_pace_time_left_and_what_it_will_cost() -> None:
    meter = Meter()

    def look(done: int) -> Look:
        loading = part(LOW, FillPhase.LOADING, done, request_units=done * 0.05)
        return Look(record=FILLING, parts=(loading, part(HIGH, FillPhase.WAITING, 0)))

    meter.measured(look(100), now=0.0)
    told = meter.measured(look(300), now=10.0)
    assert (told.phase, told.documents, told.expected) == (Phase.LOADING, 300, 1000)
    assert (told.share, told.estimate) == (0.3, True)
    assert told.per_second == 20.0
    assert told.seconds_left == 35.0
    assert (told.request_units, told.request_units_forecast) == (15.0, 50.0)
    assert [one.per_second for one in told.ranges] == [20.0, 0.0]
    assert told.waits_for == ("0 of 2 parts are loaded",)


def test_an_estimate_never_says_that_all_is_done() -> None:
    parts = (part(LOW, FillPhase.LOADING, 900), part(HIGH, FillPhase.LOADED, 700))
    told = Meter().measured(Look(record=FILLING, parts=parts), now=0.0)
    assert (told.share, told.estimate) == (0.99, True)
    assert [(one.share, one.estimate) for one in told.ranges] == [(0.99, True), (1.0, False)]


def test_what_is_loaded_gets_its_keys_and_totals() -> None:
    parts = (part(LOW, FillPhase.LOADED, 5), part(HIGH, FillPhase.LOADED, 5))
    told = Meter().measured(Look(record=FILLING, parts=parts), now=0.0)
    assert (told.phase, told.share) == (Phase.FINISHING, 1.0)
    assert told.waits_for == ("keys and totals are being built",)


def test_a_part_that_stands_still_says_why() -> None:
    parts = (part(LOW, FillPhase.LOADING, 5, error="the disk is full"),)
    look = Look(record=FILLING, parts=parts)
    assert open_ends(look, lag_seconds=1.0) == ("0 of 1 parts are loaded: the disk is full",)


def test_without_a_load_the_ranges_say_it_by_how_far_they_are_behind() -> None:
    look = Look(
        record=FOLLOWING,
        ranges=[ranged(LOW, replaying=True, lsn=30, gap_changes=70, lag_seconds=9.0), ranged(HIGH)],
    )
    told = Meter().measured(look, now=0.0)
    assert [(one.phase, one.share, one.estimate) for one in told.ranges] == [
        (Phase.LOADING, 0.3, True),
        (Phase.FOLLOWING, 1.0, False),
    ]
    assert (told.phase, told.share, told.estimate) == (Phase.LOADING, 0.65, True)


def test_what_follows_everywhere_is_done() -> None:
    told = Meter().measured(Look(record=FOLLOWING, ranges=[ranged(LOW), ranged(HIGH)]), now=0.0)
    assert (told.phase, told.share, told.estimate, told.waits_for) == (
        Phase.FOLLOWING,
        1.0,
        False,
        (),
    )


@pytest.mark.parametrize(
    ("look", "waits_for"),
    [
        pytest.param(Look(record=FOLLOWING), "no host has taken it up yet", id="nobody"),
        pytest.param(
            Look(record=FOLLOWING, ranges=[ranged(LOW)], uncovered=[HIGH]),
            "keys 80-FF have no range",
            id="a hole",
        ),
        pytest.param(
            Look(record=FOLLOWING, ranges=[ranged(LOW, opened=False)]),
            "range 0 was not opened yet",
            id="not opened",
        ),
        pytest.param(
            Look(record=FOLLOWING, ranges=[ranged(LOW)], silent=["no server"]),
            "no server",
            id="unknown is never fine",
        ),
    ],
)
def test_what_is_not_known_to_be_caught_up_is_not(look: Look, waits_for: str) -> None:
    assert open_ends(look, lag_seconds=1.0) == (waits_for,)


def test_nothing_is_forecast_from_nothing() -> None:
    assert forecast(None, 0.5) is None
    assert forecast(10.0, None) is None
    assert forecast(10.0, 0.0) is None
