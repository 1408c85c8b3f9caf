"""What is chosen differently where many hosts take turns."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from projector.core.balance import (
    LEAST_APPETITE,
    LISTERS_PER_INTERVAL,
    MOST_APPETITE,
    Appetite,
    Fleet,
    choose,
    cost_seconds,
    survey,
)
from projector.core.lease import Lease
from projector.core.names import InstanceName
from tests.fakes.clock import START
from tests.fakes.listing import EXPIRATION_SECONDS, listing

ME = InstanceName("me")
OTHERS = 3 * LISTERS_PER_INTERVAL - 1
"""With one more, hosts list every third interval."""


def fleet_of(leases: list[Lease], me: InstanceName = ME) -> Fleet:
    return survey(leases, me=me, now=START, expiration_seconds=EXPIRATION_SECONDS)


def crowd(each: int) -> list[Lease]:
    return listing(*((f"h{number}", each) for number in range(OTHERS)))


def test_newcomer_steals_as_much_as_in_the_turns_it_waits() -> None:
    taken = choose(fleet_of(crowd(10)), me=ME, draw=random.Random(1).random)
    assert len(taken) == 3
    assert max(Counter(lease.owner for lease in taken).values()) == 1


def test_thief_that_lacks_one_takes_one() -> None:
    others = ((f"h{number}", 10) for number in range(1, OTHERS))
    leases = listing(("h0", 11), ("me", 9), *others)
    taken = choose(fleet_of(leases), me=ME, draw=lambda: 0.0)
    assert [lease.owner for lease in taken] == ["h0"]


def test_without_chance_a_thief_takes_one_as_in_the_table() -> None:
    assert len(choose(fleet_of(crowd(10)), me=ME)) == 1


def test_held_leases_are_not_stolen_either() -> None:
    leases = crowd(10)
    held = {lease.token for lease in leases[:-1]}
    taken = choose(fleet_of(leases), me=ME, draw=lambda: 0.9999999, held=held)
    assert {lease.token for lease in taken} <= {leases[-1].token}


def test_all_thieves_together_take_the_excess_and_little_more() -> None:
    poor, rich = 40, LISTERS_PER_INTERVAL + 60
    leases = listing(
        *((f"rich{n}", 12) for n in range(rich)), *((f"poor{n}", 8) for n in range(poor))
    )
    taken = 0
    for number in range(poor):
        me = InstanceName(f"poor{number}")
        taken += len(choose(fleet_of(leases, me), me=me, draw=random.Random(number).random))
    wanted = poor * 3
    assert wanted * 0.5 <= taken <= wanted


def test_lot_that_falls_behind_the_last_takes_the_last() -> None:
    taken = choose(fleet_of(listing(("A", 5), ("B", 5))), me=ME, draw=lambda: 1.0)
    assert [lease.owner for lease in taken] == ["B"]


@pytest.mark.parametrize(("leases", "seconds"), [(1, 0.0), (1000, 0.0), (10_000, 9.0)])
def test_listings_of_many_pages_are_dear(leases: int, seconds: float) -> None:
    assert cost_seconds(leases) == seconds


def test_appetite_doubles_while_alone_and_halves_in_a_crowd() -> None:
    appetite = Appetite()
    for _ in range(20):
        appetite = appetite.after(crowded=False)
    assert appetite.leases == MOST_APPETITE
    assert appetite.after(crowded=True).leases == MOST_APPETITE // 2
    assert Appetite().after(crowded=True).leases == LEAST_APPETITE
