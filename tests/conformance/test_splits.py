"""Checks 86 to 95: splits and merges at any moment."""

from __future__ import annotations

import itertools

import pytest

from projector.core.errors import LeaseStoreUnavailable, SinkUnavailable, SourceUnavailable
from projector.core.lease import Lease
from projector.core.names import Continuation, LeaseToken
from projector.core.ranges import FeedRange
from projector.core.splits import Kept, Replaced, succeed
from projector.ports.feed import PhysicalRange
from tests.fakes.world import World


def place(lsn: int) -> Continuation:
    return Continuation(f'"{lsn}"')


def parts(*bounds: str) -> list[PhysicalRange]:
    return [
        PhysicalRange(id=str(n), feed_range=FeedRange(min=low, max=high))
        for n, (low, high) in enumerate(itertools.pairwise(bounds), start=7)
    ]


def lease_of(low: str, high: str, *, version: int, token: str | None = None) -> Lease:
    keys = FeedRange(min=low, max=high)
    name = token or str(keys)
    return Lease(
        id=f"p..{name}",
        token=LeaseToken(name),
        version=version,
        feed_range=keys,
        continuation=place(1),
        properties={"startFrom": "beginning"},
    )


def tokens(outcome: Kept | Replaced) -> list[str]:
    assert isinstance(outcome, Replaced)
    return [str(child.token) for child in outcome.children]


async def test_check_086_children_go_on_at_the_committed_position(one: World) -> None:
    one.container.fill(100)
    member = one.start("a")
    await one.until(one.consistent)
    one.container.split("0")
    one.container.fill(50, prefix="later")
    await one.until(one.consistent)
    assert sorted(one.leases.leases) == ["1", "2"]
    assert one.counts() == {"a": 2}
    assert len(one.sink.delivered) == 150
    assert ("released: range_gone", "0") in member.listener.heard
    assert member.listener.errors == []


async def test_check_086_children_are_taken_by_the_same_host_at_once(one: World) -> None:
    await one.caught_up("a", acquire_seconds=500.0)
    one.container.split("0")
    await one.until(lambda: one.owners() == {"1": "a", "2": "a"}, within_seconds=3)


async def test_check_086_place_read_but_not_committed_does_not_travel(one: World) -> None:
    one.container.fill(10)
    await one.caught_up()
    hanging = one.sink.faults.plan("apply", delay_seconds=30.0)
    one.container.fill(10, prefix="more")
    await one.until(lambda: hanging.times == 0)
    one.container.split("0")
    await one.pass_time(1)
    await one.kill("a")
    one.start("b")
    await one.until(one.consistent, within_seconds=120)


@pytest.mark.parametrize("moment", ["cold", "idle", "stopped"])
@pytest.mark.parametrize("deep", [1, 2])
async def test_check_086_split_at_any_moment_loses_nothing(
    one: World, moment: str, *, deep: int
) -> None:
    one.container.fill(100)
    if moment != "cold":
        await one.caught_up()
    if moment == "stopped":
        await one.stop("a")
    for _ in range(deep):
        for partition in list(one.container.partitions):
            one.container.split(partition.id)
    one.container.fill(50, prefix="later")
    if moment != "idle":
        one.start("b")
    await one.until(one.bookmarked)
    assert one.consistent()
    assert len(one.sink.delivered) == 150


async def test_check_087_properties_are_copied(one: World) -> None:
    lease = lease_of("", "FF", version=0, token="0")
    outcome = succeed(lease, parts("", "80", "FF"), continuation=place(5))
    assert isinstance(outcome, Replaced)
    assert [dict(h.properties) for h in outcome.children] == [{"startFrom": "beginning"}] * 2
    assert [h.continuation for h in outcome.children] == [place(5)] * 2
    assert [h.id for h in outcome.children] == ["p..7", "p..8"]


async def test_check_088_failed_creation_keeps_the_parent_and_is_repeated(one: World) -> None:
    one.container.fill(100)
    member = await one.caught_up()
    member.leases.faults.plan("create", LeaseStoreUnavailable("503"), times=2)
    one.container.split("0")
    await one.until(lambda: len(member.listener.errors) == 1)
    assert "0" in one.leases.leases
    await one.until(lambda: one.counts() == {"a": 2}, within_seconds=30)
    await one.until(one.bookmarked)
    assert sorted(one.leases.leases) == ["1", "2"]


async def test_check_089_children_of_another_host_are_left_to_it(one: World) -> None:
    one.container.fill(100)
    member = await one.caught_up("a", acquire_seconds=500.0)
    end = one.leases.leases[LeaseToken("0")].continuation
    one.container.split("0")
    for partition in one.container.partitions:
        one.leases.write(
            Lease(
                id=partition.id,
                token=LeaseToken(partition.id),
                feed_range=partition.feed_range,
                continuation=end,
            )
        )
    await one.until(lambda: "0" not in one.leases.leases)
    await one.pass_time(5)
    assert one.counts() == {}
    assert ("acquired", "1") not in member.listener.heard


async def test_check_090_failed_acquisition_of_a_child_does_not_bring_the_parent_back(
    one: World,
) -> None:
    one.container.fill(100)
    member = await one.caught_up()
    member.leases.faults.plan("replace", LeaseStoreUnavailable("503"), about="1")
    one.container.split("0")
    await one.until(lambda: one.counts() == {"a": 2}, within_seconds=30)
    assert sorted(one.leases.leases) == ["1", "2"]
    await one.until(one.bookmarked)


def test_check_091_key_lease_is_cut_at_the_borders() -> None:
    lease = lease_of("AA", "EE", version=1)
    outcome = succeed(lease, parts("", "BB", "DD", "FF"), continuation=place(5))
    assert tokens(outcome) == ["AA-BB", "BB-DD", "DD-EE"]


def test_check_092_merged_partition_lease_becomes_a_key_lease_of_its_own_range() -> None:
    lease = lease_of("", "BB", version=0, token="0")
    outcome = succeed(lease, parts("", "FF"), continuation=place(5))
    assert isinstance(outcome, Replaced)
    (child,) = outcome.children
    assert (child.token, child.version, child.continuation) == ("-BB", 1, place(5))
    assert child.feed_range == FeedRange(min="", max="BB")


@pytest.mark.parametrize("moment", ["idle", "stopped"])
@pytest.mark.parametrize("lsn", [None, 500, 3], ids=["above both", "far above", "below"])
async def test_check_092_merge_loses_and_doubles_nothing(moment: str, lsn: int | None) -> None:
    world = World(partitions=2)
    world.container.fill(60)
    await world.caught_up()
    if moment == "stopped":
        await world.stop("a")
    world.container.merge("0", "1", lsn=lsn)
    world.container.fill(2 if lsn == 3 else 40, prefix="later")
    if moment == "stopped":
        world.start("b")
    await world.until(world.consistent)
    assert sorted(world.leases.leases) == ["-20", "20-FF"]
    world.container.put("cart-1", quantity=7)
    await world.until(world.consistent)
    if lsn is None:
        assert len(world.sink.delivered) == 101
    await world.stop_all()


async def test_check_093_key_lease_inside_one_partition_stays(one: World) -> None:
    lease = lease_of("10", "20", version=1)
    assert succeed(lease, parts("", "80", "FF"), continuation=place(5)) == Kept(range_id="7")


async def test_check_093_merge_then_merge_keeps_the_key_leases() -> None:
    world = World(partitions=4)
    world.container.fill(60)
    await world.caught_up()
    first = world.container.merge("0", "1")
    await world.until(lambda: {"-10", "10-20"} <= set(world.leases.leases))
    world.container.fill(20, prefix="between")
    await world.until(world.consistent)
    world.container.merge(first, "2")
    world.container.fill(20, prefix="after")
    await world.until(world.consistent)
    assert sorted(world.leases.leases) == ["-10", "10-20", "20-30", "3"]
    await world.stop_all()


async def test_check_094_key_lease_over_two_partitions_is_cut_before_it_is_read() -> None:
    world = World(partitions=2)
    world.container.fill(60)
    await world.caught_up()
    merged = world.container.merge("0", "1")
    await world.until(lambda: sorted(world.leases.leases) == ["-20", "20-FF"])
    await world.until(world.consistent)
    await world.pass_time(5)
    await world.stop("a")
    left, right = world.container.split(merged)
    world.container.split(left)
    world.container.split(right)
    world.container.fill(20, prefix="later")
    member = world.start("b")
    await world.until(world.consistent)
    cuts = ["-10", "10-20", "20-30", "30-FF"]
    assert set(world.leases.leases) == set(cuts)
    assert {token for token, _, _ in member.source.reads} == set(cuts)
    await world.stop_all()


def test_check_095_no_overlapping_partition_is_an_error() -> None:
    with pytest.raises(SourceUnavailable, match="no physical partition"):
        succeed(lease_of("80", "FF", version=1), parts("", "80"), continuation=None)


async def test_check_095_parent_is_kept_until_the_map_is_right(one: World) -> None:
    one.container.fill(60)
    await one.caught_up()
    partitions = one.container.partitions
    one.container.partitions = []
    await one.pass_time(20)
    assert sorted(one.leases.leases) == ["0"]
    one.container.partitions = partitions
    one.container.split("0")
    one.container.fill(10, prefix="later")
    await one.until(one.consistent)


async def test_crash_between_children_and_parent_is_finished_by_the_next_owner(
    one: World,
) -> None:
    one.container.fill(60)
    member = await one.caught_up()
    member.leases.faults.plan("delete", hang=True)
    one.container.split("0")
    await one.until(lambda: len(one.leases.leases) == 3)
    await one.kill("a")
    one.container.fill(60, prefix="later")
    one.start("b")
    await one.until(one.consistent)
    await one.until(lambda: sorted(one.leases.leases) == ["1", "2"], within_seconds=120)


async def test_split_while_the_target_is_down_keeps_the_order(one: World) -> None:
    one.container.fill(10)
    await one.caught_up()
    one.sink.faults.plan("apply", SinkUnavailable("down"), times=20)
    one.container.fill(60, prefix="later")
    await one.pass_time(1)
    one.container.split("0")
    await one.until(one.consistent, within_seconds=400)
