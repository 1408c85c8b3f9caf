"""Checks 18 to 30 and 98, 99: setting up the leases and mending them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from projector.core.coverage import missing_leases
from projector.core.errors import ConfigurationError, LeaseStoreUnavailable, SourceMissing
from projector.core.lease import Lease
from projector.core.names import Continuation, LeaseToken
from projector.core.ranges import FeedRange
from projector.core.start import NOW
from projector.ports.feed import PhysicalRange
from tests.fakes.world import World

STEPS = ["initialized?", "lock", "mark", "unlock"]


async def test_check_018_order_of_the_steps(world: World) -> None:
    member = world.start("a")
    await world.until(lambda: world.counts() == {"a": 4})
    assert member.markers.steps == STEPS
    assert member.leases.faults.calls["create"] == 4


async def test_check_019_nothing_to_do_when_initialized(world: World) -> None:
    world.start("a")
    await world.until(lambda: world.counts() == {"a": 4})
    await world.stop("a")
    member = world.start("b")
    await world.until(lambda: world.counts() == {"b": 4})
    assert member.markers.steps == ["initialized?"]
    assert member.leases.faults.calls["create"] == 0


async def test_check_020_lock_of_another_host_is_waited_for(world: World) -> None:
    world.leases.lock = (object(), 1_000.0)
    member = world.start("a")
    await world.pass_time(20)
    assert world.leases.leases == {}
    other = World(partitions=4)
    other.container, other.leases = world.container, world.leases
    for partition in world.container.partitions:
        world.leases.write(
            Lease(
                id=partition.id,
                token=LeaseToken(partition.id),
                feed_range=partition.feed_range,
            )
        )
    world.leases.marked = True
    await world.until(lambda: world.counts() == {"a": 4})
    assert member.leases.faults.calls["create"] == 0


async def test_check_020_lock_left_by_a_crash_ends(world: World) -> None:
    world.leases.lock = (object(), 30.0)
    world.start("a")
    await world.until(lambda: world.counts() == {"a": 4}, within_seconds=30 + 15 + 2)


async def test_check_021_instances_that_start_together(world: World) -> None:
    for name in "abcde":
        world.start(name)
    await world.until(lambda: sum(world.counts().values()) == 4)
    assert sorted(world.leases.leases) == ["0", "1", "2", "3"]
    assert world.leases.marked
    assert world.leases.lock is None


async def test_check_022_lock_lives_as_long_as_told(world: World) -> None:
    member = world.member("a", lock_seconds=30)
    member.markers.faults.plan("mark", hang=True)
    world.start_member(member)
    await world.until(lambda: world.leases.lock is not None)
    assert world.leases.lock is not None
    assert world.leases.lock[1] - world.clock.monotonic() == pytest.approx(30, abs=1)
    await world.kill("a")


async def test_check_023_failure_leaves_no_mark_and_no_lock(world: World) -> None:
    member = world.member("a")
    member.leases.faults.plan("create", ConfigurationError("no right to write"), about="2")
    world.start_member(member)
    with pytest.raises(ConfigurationError, match="no right"):
        await world.until(lambda: False, within_seconds=5)
    assert not world.leases.marked
    assert world.leases.lock is None
    world.members.clear()


async def test_check_023_outage_is_waited_out_without_the_lock(world: World) -> None:
    member = world.member("a")
    member.leases.faults.plan("create", LeaseStoreUnavailable("503"), about="2", times=3)
    world.start_member(member)
    await world.until(lambda: world.counts() == {"a": 4}, within_seconds=30)


async def test_check_024_only_missing_leases_are_created(world: World) -> None:
    world.leases.write(
        Lease(
            id="1",
            token=LeaseToken("1"),
            feed_range=world.container.partitions[1].feed_range,
            continuation=Continuation('"1"'),
        )
    )
    member = world.start("a")
    await world.until(lambda: world.counts() == {"a": 4})
    assert member.leases.faults.calls["create"] == 3


def physical(
    *parts: tuple[str, str, str] | tuple[str, str, str, tuple[str, ...]],
) -> list[PhysicalRange]:
    return [
        PhysicalRange(id=i, feed_range=FeedRange(min=low, max=high), parents=tuple(*parents))
        for i, low, high, *parents in parts
    ]


def key_lease(low: str, high: str) -> Lease:
    keys = FeedRange(min=low, max=high)
    return Lease(id=str(keys), token=LeaseToken(str(keys)), version=1, feed_range=keys)


def partition_lease(token: str, low: str = "", high: str = "FF", *, told: bool = True) -> Lease:
    keys = FeedRange(min=low, max=high) if told else None
    return Lease(id=token, token=LeaseToken(token), feed_range=keys)


COVERAGE = {
    "no leases": (
        physical(("0", "", "AA"), ("1", "AA", "FF")),
        [],
        ["0", "1"],
    ),
    "some partition leases": (
        physical(("0", "", "AA"), ("1", "AA", "FF")),
        [partition_lease("0", "", "AA")],
        ["1"],
    ),
    "partition lease of an old writer": (
        physical(("0", "", "AA"), ("1", "AA", "FF")),
        [partition_lease("0", told=False)],
        ["1"],
    ),
    "key leases that share the outer bounds": (
        physical(("0", "", "AA"), ("1", "AA", "CC"), ("2", "CC", "FF")),
        [partition_lease("0", "", "AA"), key_lease("AA", "BB"), key_lease("BB", "CC")],
        ["2"],
    ),
    "key leases with a hole": (
        physical(("1", "AA", "CC")),
        [key_lease("AA", "B0"), key_lease("BB", "CC")],
        ["B0-BB"],
    ),
    "split not finished": (
        physical(("1", "", "80", ("0",)), ("2", "80", "FF", ("0",))),
        [partition_lease("0", told=False)],
        [],
    ),
    "split of a child not finished": (
        physical(
            ("1", "", "80", ("0",)), ("3", "80", "C0", ("0", "2")), ("4", "C0", "FF", ("0", "2"))
        ),
        [partition_lease("1", "", "80"), partition_lease("2", told=False)],
        [],
    ),
    "merge not finished": (
        physical(("3", "", "FF", ("1", "2"))),
        [partition_lease("1", "", "80"), partition_lease("2", "80", "FF")],
        [],
    ),
}


@pytest.mark.parametrize(("parts", "leases", "missing"), COVERAGE.values(), ids=COVERAGE.keys())
def test_check_025_covered_ranges_need_no_lease(
    parts: list[PhysicalRange], leases: list[Lease], missing: list[str]
) -> None:
    assert [lease.token for lease in missing_leases(parts, leases)] == missing


async def test_check_026_missing_container_ends_the_start(world: World) -> None:
    member = world.member("a")
    member.source.faults.plan("rid", SourceMissing("container cart does not exist"))
    world.start_member(member)
    with pytest.raises(SourceMissing, match="cart"):
        await world.until(lambda: False, within_seconds=5)
    world.members.clear()


async def test_check_027_restart_after_a_split_creates_no_children_without_a_place(
    world: World,
) -> None:
    world.container.fill(100)
    world.start("a")
    await world.until(world.consistent)
    await world.stop("a")
    before = len(world.sink.delivered)
    for identity in ("0", "1", "2", "3"):
        world.container.split(identity)
    world.start("b")
    await world.until(lambda: len(world.counts()) and len(world.leases.leases) == 8)
    await world.until(lambda: world.counts() == {"b": 8})
    await world.pass_time(20)
    assert len(world.sink.delivered) == before


@pytest.mark.parametrize("marked", [True, False])
async def test_check_028_leases_of_the_other_mode_end_the_start(
    world: World, *, marked: bool
) -> None:
    world.leases.marked = marked
    first = Lease(id="0", token=LeaseToken("0"), mode="Full-Fidelity Feed")
    world.leases.write(first)
    world.start("a")
    words = "Switching ChangeFeedMode Full-Fidelity Feed to Incremental Feed is not allowed"
    with pytest.raises(ConfigurationError, match=words):
        await world.until(lambda: False, within_seconds=5)
    assert list(world.leases.leases.values()) == [world.leases.leases[LeaseToken("0")]]
    world.members.clear()


async def test_check_029_leases_without_a_mode_are_fine(world: World) -> None:
    for partition in world.container.partitions:
        token = LeaseToken(partition.id)
        lease = Lease(id=token, token=token, feed_range=partition.feed_range, mode=None)
        world.leases.write(lease)
    world.container.fill(10)
    world.start("a")
    await world.until(world.consistent)
    assert {lease.mode for lease in world.leases.leases.values()} == {None}


async def test_check_030_no_leases_no_mode_error(world: World) -> None:
    world.start("a")
    await world.until(lambda: world.counts() == {"a": 4})


async def test_check_098_leases_deleted_while_running_are_created_again(world: World) -> None:
    world.container.fill(100)
    member = world.start("a")
    await world.until(world.consistent)
    world.leases.clear()
    await world.until(lambda: world.counts() == {"a": 4}, within_seconds=30)
    world.container.fill(100, prefix="later")
    await world.until(world.consistent)
    assert world.leases.marked
    assert ("released: lease_lost", "0") in member.listener.heard


async def test_check_098_one_lease_deleted_while_running(world: World) -> None:
    world.container.fill(100)
    world.start("a")
    await world.until(world.consistent)
    del world.leases.leases[LeaseToken("1")]
    await world.until(lambda: world.owners().get("1") == "a", within_seconds=35)
    world.container.fill(100, prefix="later")
    await world.until(world.consistent)


async def test_check_099_mark_without_leases_is_mended(world: World) -> None:
    world.leases.marked = True
    world.container.fill(20)
    world.start("a")
    await world.until(world.consistent)


async def test_ranges_anchored_at_now_miss_nothing_after_the_bootstrap(world: World) -> None:
    world.container.fill(100)
    member = world.member("a", start_from=NOW)
    member.leases.faults.plan("replace", LeaseStoreUnavailable("503"), times=8)
    world.start_member(member)
    await world.until(lambda: len(world.leases.leases) == 4)
    assert all(lease.continuation for lease in world.leases.leases.values())
    assert world.sink.delivered == []
    for number in range(50):
        world.container.put(f"new-{number}")
    await world.until(lambda: len(world.sink.delivered) == 50, within_seconds=60)
    await world.pass_time(10)
    assert len(world.sink.delivered) == 50


async def test_anchor_is_in_the_target_before_the_lease_exists(world: World) -> None:
    member = world.member("a", start_from=NOW)
    member.leases.faults.plan("create", ConfigurationError("stop here"), times=None)
    world.start_member(member)
    with pytest.raises(ConfigurationError):
        await world.until(lambda: False, within_seconds=5)
    assert len([s for s in world.sink.ranges if s.position is not None]) == 4
    world.members.clear()


async def test_lease_container_that_lists_garbage_is_not_fatal(world: World) -> None:
    world.start("a")
    await world.until(lambda: world.counts() == {"a": 4})
    twin = replace(world.leases.leases[LeaseToken("0")], id="twin")
    world.leases.leases[LeaseToken("twin")] = twin
    await world.pass_time(30)
    del world.leases.leases[LeaseToken("twin")]
    world.start("b")
    await world.until(lambda: world.counts() == {"a": 2, "b": 2})
