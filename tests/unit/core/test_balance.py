from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projector.core.balance import (
    LEAST_APPETITE,
    LISTERS_PER_INTERVAL,
    MOST_APPETITE,
    Appetite,
    Fleet,
    Limits,
    choose,
    cost_seconds,
    share,
    stretch,
    survey,
)
from projector.core.lease import Lease
from projector.core.names import InstanceName, LeaseToken
from tests.fakes.clock import START
from tests.fakes.listing import EXPIRATION_SECONDS, listing

ME = InstanceName("me")


def fleet_of(leases: list[Lease], me: InstanceName = ME) -> Fleet:
    return survey(leases, me=me, now=START, expiration_seconds=EXPIRATION_SECONDS)


def test_lease_listed_twice_is_refused() -> None:
    leases = listing(("A", 2))
    with pytest.raises(ValueError, match="listed more than once: 0"):
        fleet_of([*leases, leases[0]])


def test_held_tokens_are_left_alone() -> None:
    held = {LeaseToken("0"), LeaseToken("1")}
    assert choose(fleet_of(listing((None, 2))), me=ME, held=held) == ()
    assert choose(fleet_of(listing(("A", 2))), me=ME, held=held) == ()


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        pytest.param(Limits(), 5, id="none"),
        pytest.param(Limits(max_leases=3), 3, id="maximum"),
        pytest.param(Limits(min_leases=8), 8, id="minimum"),
        pytest.param(Limits(min_leases=8, max_leases=3), 8, id="minimum outranks maximum"),
    ],
)
def test_share_within_limits(limits: Limits, expected: int) -> None:
    assert share(fleet_of(listing(("A", 10))), limits) == expected


def test_random_choice_takes_as_many_as_the_table_but_spread() -> None:
    fleet = fleet_of(listing(("A", 1), ("A", 100, "expired")))
    plain = choose(fleet, me=ME)
    picks = [choose(fleet, me=ME, draw=random.Random(seed).random) for seed in range(20)]
    assert {len(pick) for pick in picks} == {len(plain)}
    assert len({pick[0].token for pick in picks}) > 10


def test_many_thieves_of_few_leases_hold_back() -> None:
    leases = listing(("rich", 22), *((f"poor{n}", 9) for n in range(100)))
    taken = 0
    for n in range(100):
        me = InstanceName(f"poor{n}")
        taken += len(choose(fleet_of(leases, me), me=me, draw=random.Random(n).random))
    assert 4 <= taken <= 24


def test_large_fleet_lists_in_turns_and_rescues_more_than_its_share() -> None:
    assert stretch(64) == 1.0
    assert stretch(640) == 10.0
    leases = listing(*((f"h{n}", 10) for n in range(640)), ("dead", 640, "expired"))
    me = InstanceName("h1")
    fleet = fleet_of(leases, me)
    need = share(fleet) - 10
    assert len(choose(fleet, me=me)) >= 10 > need


def test_rescue_respects_the_maximum() -> None:
    leases = listing(*((f"h{n}", 10) for n in range(640)), ("dead", 640, "expired"))
    me = InstanceName("h1")
    chosen = choose(fleet_of(leases, me), me=me, limits=Limits(max_leases=12))
    assert len(chosen) == 2


owners = st.lists(
    st.one_of(st.none(), st.sampled_from(["me", "a", "b", "c"])), min_size=1, max_size=24
)


@given(owners=owners, seed=st.integers(0, 1000), spread=st.booleans())
def test_hosts_that_take_turns_reach_equal_shares(
    owners: list[str | None], seed: int, *, spread: bool
) -> None:
    """Whatever the start, no lease stays free and shares differ by one at most."""
    leases = [
        Lease(
            id=str(n),
            token=LeaseToken(str(n)),
            owner=None if owner is None else InstanceName(owner),
            timestamp=START,
        )
        for n, owner in enumerate(owners)
    ]
    hosts = [InstanceName(name) for name in ("me", "a", "b", "c")]
    draw = random.Random(seed).random if spread else None
    for _ in range(60 * len(hosts)):
        for me in hosts:
            taken = {lease.token for lease in choose(fleet_of(leases, me), me=me, draw=draw)}
            leases = [
                Lease(id=x.id, token=x.token, owner=me, timestamp=START) if x.token in taken else x
                for x in leases
            ]
    counts = [sum(1 for x in leases if x.owner == host) for host in hosts]
    assert sum(counts) == len(leases)
    assert max(counts) <= math.ceil(len(leases) / len(hosts))


OTHERS = 3 * LISTERS_PER_INTERVAL - 1
"""With one more, hosts list every third interval."""


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
