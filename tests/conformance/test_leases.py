"""Checks 58 to 68: the changes made to one lease."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from projector.core.errors import LeaseLost, LeaseMissing, LeaseStoreUnavailable
from projector.core.lease import Lease
from projector.core.names import Continuation, Holder, InstanceName, LeaseToken
from projector.core.ranges import FULL_RANGE
from projector.processor.lease_keeper import ATTEMPTS, LeaseKeeper
from tests.fakes.clock import FakeClock
from tests.fakes.leases import FakeLeaseContainer, FakeLeaseStore
from tests.fakes.world import World

ME, OTHER = InstanceName("me"), InstanceName("other")
TOKEN = LeaseToken("0")


class Held:
    """A lease that this host holds, and the container behind it."""

    def __init__(self, *, owner: InstanceName | None = ME) -> None:
        self.clock = FakeClock()
        self.container = FakeLeaseContainer(self.clock)
        self.store = FakeLeaseStore(self.container)
        first = Lease(id="0", token=TOKEN, feed_range=FULL_RANGE, owner=owner)
        self.keeper = self.keeper_of(self.container.write(first))

    def keeper_of(self, lease: Lease) -> LeaseKeeper:
        return LeaseKeeper(store=self.store, clock=self.clock, me=Holder(name=ME), lease=lease)

    @property
    def stored(self) -> Lease:
        return self.container.leases[TOKEN]

    def change(self, **changes: object) -> None:
        """Another process writes the lease."""
        self.container.write(replace(self.stored, **changes))  # type: ignore[arg-type]


@pytest.fixture
async def held() -> Held:
    return Held()


def place(lsn: int) -> Continuation:
    return Continuation(f'"{lsn}"')


async def test_check_058_owner_changed_since_listing(world: World) -> None:
    held = Held(owner=None)
    held.change(owner=OTHER)
    with pytest.raises(LeaseLost):
        await held.keeper.acquire()
    assert held.stored.owner == OTHER


async def test_check_058_worker_is_not_started(world: World) -> None:
    member = world.start("a")
    member.leases.faults.plan("replace", LeaseLost("taken by another"), about="2")
    await world.until(lambda: len(member.host.reports()) == 3)
    assert ("acquired", "2") not in member.listener.heard


async def test_check_059_acquisition_fills_in_the_feed_range(world: World) -> None:
    world.container.fill(30)
    world.start("a")
    await world.until(world.consistent)
    await world.stop("a")
    for lease in list(world.leases.leases.values()):
        world.leases.write(replace(lease, feed_range=None))
    world.container.fill(30, prefix="later")
    world.start("b")
    await world.until(world.consistent)
    ranges = {p.id: p.feed_range for p in world.container.partitions}
    assert {t: lease.feed_range for t, lease in world.leases.leases.items()} == ranges


async def test_check_060_conflict_with_the_same_owner_is_tried_again(held: Held) -> None:
    held.change(properties={"note": "by a person"})
    await held.keeper.checkpoint(place(7), {"startFrom": "now"})
    assert held.stored.continuation == place(7)


async def test_check_060_renewal_between_bookmarks_loses_none(held: Held) -> None:
    await held.keeper.checkpoint(place(7), {})
    await held.keeper.renew()
    await held.keeper.checkpoint(place(9), {})
    await held.keeper.renew()
    assert held.stored.continuation == place(9)


async def test_check_061_endless_conflict_ends_after_six_attempts(held: Held) -> None:
    real = held.store.read

    async def read_and_lose(token: LeaseToken) -> Lease:
        lease = await real(token)
        held.change()
        return lease

    held.store.read = read_and_lose  # type: ignore[method-assign]  # somebody writes all the time
    held.change()
    with pytest.raises(LeaseLost):
        await held.keeper.renew()
    assert held.store.faults.calls["replace"] == ATTEMPTS == 6


async def test_check_062_conflicting_creation_is_a_loss(held: Held) -> None:
    held.store.faults.plan("replace", LeaseLost("409"))
    with pytest.raises(LeaseLost):
        await held.keeper.renew()


async def test_check_062_missing_lease_is_gone_on_write(held: Held) -> None:
    held.container.clear()
    with pytest.raises(LeaseMissing):
        await held.keeper.renew()


async def test_check_062_missing_lease_is_gone_on_the_second_look(held: Held) -> None:
    held.change()
    held.store.faults.plan("read", LeaseMissing("404"))
    with pytest.raises(LeaseMissing):
        await held.keeper.renew()


async def test_check_063_bookmarks_in_a_row_need_no_reads(held: Held) -> None:
    for lsn in range(5):
        await held.keeper.checkpoint(place(lsn), {})
    assert held.store.faults.calls == {"replace": 5}


async def test_check_064_outage_of_the_leases_is_left_to_the_next_turn(world: World) -> None:
    world.container.fill(30)
    member = world.start("a", acquire_seconds=500.0)
    await world.until(lambda: len(world.counts()) == 1)
    member.leases.faults.plan("replace", LeaseStoreUnavailable("503"), times=8)
    await world.pass_time(70)
    assert world.counts() == {"a": 4}
    assert not [h for h in member.listener.heard if h[0].startswith("released")]


async def test_check_065_release_of_a_deleted_lease_is_silent(world: World) -> None:
    member = await world.caught_up()
    world.leases.leases.clear()
    await world.stop("a")
    assert member.listener.errors == []


async def test_check_065_release_of_a_taken_lease_leaves_it(held: Held) -> None:
    held.change(owner=OTHER)
    with pytest.raises(LeaseLost):
        await held.keeper.release()
    assert held.stored.owner == OTHER


async def test_check_065_release_keeps_the_bookmark(held: Held) -> None:
    await held.keeper.checkpoint(place(7), {})
    await held.keeper.release()
    assert (held.stored.owner, held.stored.continuation) == (None, place(7))


async def test_check_066_properties_of_a_foreign_lease_are_not_written(held: Held) -> None:
    foreign = held.keeper_of(replace(held.stored, owner=OTHER))
    with pytest.raises(LeaseLost):
        await foreign.checkpoint(place(1), {"note": "mine"})
    assert held.store.faults.calls["replace"] == 0


async def test_check_068_first_renewal_after_half_an_interval(world: World) -> None:
    await world.caught_up("a", acquire_seconds=500.0)
    written = world.leases.leases[TOKEN].timestamp
    assert written is not None
    await world.pass_time(9)
    renewed = world.leases.leases[TOKEN].timestamp
    assert renewed is not None
    assert 8 < (renewed - written).total_seconds() <= 9


Act = Callable[[LeaseKeeper], Awaitable[object]]
ACTS: dict[str, Act] = {
    "renew": lambda keeper: keeper.renew(),
    "checkpoint": lambda keeper: keeper.checkpoint(place(9), {}),
    "verify": lambda keeper: keeper.verify(),
}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS.keys())
@pytest.mark.parametrize(
    "by_hand", [None, place(3)], ids=["token cleared by hand", "token set back by hand"]
)
async def test_bookmark_changed_by_others_is_never_overwritten(
    held: Held, act: Act, by_hand: Continuation | None
) -> None:
    await held.keeper.checkpoint(place(7), {})
    held.change(continuation=by_hand)
    with pytest.raises(LeaseLost):
        await act(held.keeper)
    assert held.stored.continuation == by_hand


async def test_bookmark_whose_answer_was_lost_counts_as_ours(held: Held) -> None:
    for lsn in (7, 9):
        held.store.faults.plan("replace", LeaseStoreUnavailable("reset"), after=lsn == 7)
        with pytest.raises(LeaseStoreUnavailable):
            await held.keeper.checkpoint(place(lsn), {})
    assert held.stored.continuation == place(7)
    await held.keeper.checkpoint(place(11), {})
    assert held.stored.continuation == place(11)
