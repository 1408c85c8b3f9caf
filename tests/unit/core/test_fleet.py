"""Many hosts with the real balancer over a lease container of etags and stale listings.

The full size is `python -m benchmarks.processor fleet`; these are small enough for every run.
"""

from __future__ import annotations

from functools import cache

import pytest

from benchmarks.processor.fleet import Phase, Plan, run

SMALL = Plan(hosts=24, ranges=200, change=4)
TAKING_TURNS = Plan(hosts=100, ranges=700, change=10)
"""More hosts than may list within one interval."""

EXPIRATION_SECONDS = 60.0
ACQUIRE_SECONDS = 13.0


@cache
def played(plan: Plan) -> dict[str, Phase]:
    start, steady, death, birth = run(plan, lambda _: None)
    return {"start": start, "steady": steady, "death": death, "birth": birth}


@pytest.mark.parametrize(
    "plan", [pytest.param(SMALL, id="small"), pytest.param(TAKING_TURNS, id="taking turns")]
)
def test_fleet_is_covered_soon_balanced_later_and_then_at_rest(plan: Plan) -> None:
    phases = played(plan)
    for name in ("start", "death", "birth"):
        assert phases[name].balanced_seconds is not None, name
    covered = {name: phase.covered_seconds or 0.0 for name, phase in phases.items()}
    assert covered["start"] < plan.start_seconds + ACQUIRE_SECONDS
    assert covered["death"] < EXPIRATION_SECONDS + 2 * ACQUIRE_SECONDS
    assert covered["birth"] < 1.0
    assert phases["steady"].stolen == 0
    assert phases["death"].rescued > 0
    owed = plan.ranges * plan.change // plan.hosts
    assert phases["birth"].stolen < 2 * owed


def test_steady_fleet_asks_little_more_than_its_renewals() -> None:
    steady = played(TAKING_TURNS)["steady"]
    renewals_per_second = TAKING_TURNS.ranges / 17.0
    listings_per_second = 64 / ACQUIRE_SECONDS
    assert steady.requests_per_second < renewals_per_second + 1.5 * listings_per_second


def test_throttled_lease_container_delays_the_fleet_and_no_more() -> None:
    renewals_ru = SMALL.ranges / 17.0 * 5.5
    plan = Plan(hosts=24, ranges=200, change=4, units_per_second=renewals_ru * 3)
    phases = played(plan)
    assert phases["start"].throttled > 0
    assert all(phase.balanced_seconds is not None for phase in phases.values())
    assert phases["start"].peak_units_per_second < renewals_ru * 3 + 20
