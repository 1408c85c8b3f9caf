"""Checks 39 to 57: who takes which lease."""

from __future__ import annotations

import math

import pytest

from projector.core.balance import Limits, choose, survey
from projector.core.errors import LeaseStoreUnavailable
from projector.core.lease import Lease
from projector.core.names import InstanceName
from tests.fakes.clock import START
from tests.fakes.listing import EXPIRATION_SECONDS, listing
from tests.fakes.world import World

ME = InstanceName("me")

Row = tuple[list[Lease], Limits, list[str]]

TABLE: dict[str, Row] = {
    "check_039_no_leases": ([], Limits(), []),
    "check_040_only_mine": (listing(("me", 3)), Limits(), []),
    "check_041_two_unowned": (listing((None, 2)), Limits(), ["0", "1"]),
    "check_042_two_expired_one_of_them_mine": (
        listing(("me", 1, "expired"), ("A", 1, "expired")),
        Limits(),
        ["0", "1"],
    ),
    "check_043_other_owns_two": (listing(("A", 2)), Limits(), ["0"]),
    "check_044_expired_before_theft": (
        listing(("A", 3), ("A", 1, "expired")),
        Limits(),
        ["3"],
    ),
    "check_045_share_of_many_expired": (
        listing(("A", 1), ("A", 10, "expired")),
        Limits(),
        ["1", "2", "3", "4", "5", "6"],
    ),
    "check_046_minimum_raises_the_share": (
        listing(("A", 1), ("A", 10, "expired")),
        Limits(min_leases=7),
        ["1", "2", "3", "4", "5", "6", "7"],
    ),
    "check_047_maximum_lowers_the_share": (
        listing(("A", 1), ("A", 10, "expired")),
        Limits(max_leases=3),
        ["1", "2", "3"],
    ),
    "check_048_theft_from_the_busiest": (listing(("A", 5), ("B", 10)), Limits(), ["5"]),
    "check_049_balanced_with_as_many": (listing(("A", 5), ("me", 5)), Limits(), []),
    "check_049_balanced_with_more": (listing(("A", 5), ("me", 6)), Limits(), []),
    "check_050_one_short_of_a_fair_victim": (listing(("A", 4), ("me", 3)), Limits(), []),
    "check_051_two_short": (listing(("A", 4), ("me", 2)), Limits(), ["0"]),
    "check_052_two_short_of_two_victims": (
        listing(("A", 10), ("B", 10), ("me", 8)),
        Limits(),
        ["10"],
    ),
}


@pytest.mark.parametrize(("leases", "limits", "taken"), TABLE.values(), ids=TABLE.keys())
def test_check_039_to_052_equal_partitions(
    leases: list[Lease], limits: Limits, taken: list[str]
) -> None:
    fleet = survey(leases, me=ME, now=START, expiration_seconds=EXPIRATION_SECONDS)
    chosen = choose(fleet, me=ME, limits=limits)
    assert [lease.token for lease in chosen] == taken


async def test_check_053_duplicate_tokens_cost_one_cycle_only(world: World) -> None:
    world.container.fill(20)
    member = world.member("a", acquire_seconds=1.0)
    listed = member.leases.list_leases
    calls = 0

    async def twice() -> list[Lease]:
        nonlocal calls
        calls += 1
        leases = list(await listed())
        return leases + leases[:1] if 3 <= calls <= 5 else leases

    member.leases.list_leases = twice  # type: ignore[method-assign]  # a store gone mad
    world.start_member(member)
    await world.until(world.consistent)
    assert calls > 5


async def test_check_054_one_lease_that_fails_does_not_cost_the_others(world: World) -> None:
    world.container.fill(40)
    member = world.start("a")
    member.leases.faults.plan("replace", LeaseStoreUnavailable("no"), about="1")
    await world.until(lambda: world.counts() == {"a": 3})
    await world.until(world.consistent, within_seconds=20)


async def test_check_054_failed_listing_does_not_end_the_loop(world: World) -> None:
    world.container.fill(40)
    member = world.start("a")
    await world.until(world.consistent)
    member.leases.faults.plan("list", LeaseStoreUnavailable("no"), times=3)
    await world.pass_time(60)
    world.leases.write(next(iter(world.leases.leases.values())))
    world.start("b")
    await world.until(lambda: world.counts() == {"a": 2, "b": 2})


async def test_check_055_owner_names_compare_without_case(world: World) -> None:
    leases = listing(("HOST-B", 2), ("host-b", 2))
    fleet = survey(leases, me=ME, now=START, expiration_seconds=EXPIRATION_SECONDS)
    assert fleet.counts == {"me": 0, "host-b": 4}
    assert [lease.token for lease in choose(fleet, me=ME)] == ["0"]


async def test_check_056_same_name_takes_its_leases_back_at_once(world: World) -> None:
    world.container.fill(40)
    world.start("a")
    await world.until(world.consistent)
    await world.kill("a")
    world.container.put("new")
    world.start("a")
    await world.until(world.consistent, within_seconds=3)


@pytest.mark.parametrize(("ranges", "hosts"), [(4, 2), (8, 3), (16, 5), (4, 6)])
async def test_check_057_hosts_converge_and_survive_one(ranges: int, hosts: int) -> None:
    world = World(partitions=ranges)
    world.container.fill(100)
    for number in range(hosts):
        world.start(f"h{number}")
    low, high = math.floor(ranges / hosts), math.ceil(ranges / hosts)

    def balanced() -> bool:
        counts = world.counts()
        return sum(counts.values()) == ranges and all(
            low <= counts.get(name, 0) <= high for name in world.members
        )

    await world.until(balanced, within_seconds=13 * ranges * 2)
    await world.until(world.consistent)
    dead = max(world.counts(), key=lambda name: world.counts()[name])
    await world.kill(dead)
    await world.until(lambda: dead not in world.counts(), within_seconds=60 + 13 + 2)
    world.container.fill(50, prefix="later")
    await world.until(world.consistent)
    await world.stop_all()


async def test_check_057_ownership_moves_at_once_after_a_stop(world: World) -> None:
    world.container.fill(40)
    world.start("a")
    await world.until(world.consistent)
    world.start("b")
    await world.until(lambda: world.counts() == {"a": 2, "b": 2})
    await world.stop("a")
    assert world.counts() == {"b": 2}
    await world.until(lambda: world.counts() == {"b": 4}, within_seconds=13 + 1)
