"""Checks 96 and 97: stopping in good order."""

from __future__ import annotations

import asyncio

import pytest

from projector.core.errors import LeaseStoreUnavailable, SinkUnavailable
from projector.core.names import LeaseToken
from tests.fakes.world import World


async def test_check_096_stop_waits_for_the_running_batch_and_bookmarks_it(world: World) -> None:
    await world.caught_up()
    slow = world.sink.faults.plan("apply", delay_seconds=10.0, times=4)
    world.container.fill(100)
    await world.until(lambda: (slow.times or 0) <= 0)
    began = world.clock.monotonic()
    await world.stop("a")
    assert 5 < world.clock.monotonic() - began < 15
    assert world.counts() == {}
    assert world.bookmarked()
    delivered = len(world.sink.delivered)
    world.container.put("later")
    world.start("a")
    await world.until(world.consistent)
    assert len(world.sink.delivered) == delivered + 1


async def test_check_097_nothing_is_applied_after_the_stop(world: World) -> None:
    await world.caught_up()
    world.container.fill(100)
    await world.stop("a")
    applied = len(world.sink.batches)
    await world.pass_time(60)
    assert len(world.sink.batches) == applied


async def test_stop_gives_up_a_batch_that_hangs_and_still_releases(world: World) -> None:
    await world.caught_up("a", drain_seconds=10.0)
    world.sink.faults.plan("apply", hang=True, times=4)
    world.container.fill(100)
    await world.pass_time(2)
    await world.stop("a", within_seconds=13)
    assert world.counts() == {}


async def test_stop_while_the_target_is_down_leaves_the_batch_to_the_next_owner(
    world: World,
) -> None:
    await world.caught_up()
    down = world.sink.faults.plan("apply", SinkUnavailable("down"), times=None)
    world.container.fill(100)
    await world.pass_time(20)
    await world.stop("a", within_seconds=2)
    down.times = 0
    world.sink.faults.clear()
    world.start("b")
    await world.until(world.consistent)


async def test_stop_during_the_bootstrap_ends_at_once(world: World) -> None:
    world.leases.lock = (object(), 1_000.0)
    world.start("a")
    await world.pass_time(5)
    await world.stop("a", within_seconds=1)


async def test_stop_in_the_middle_of_acquiring_leaves_no_lease_behind(world: World) -> None:
    member = world.member("a")
    member.leases.faults.latency_seconds = 1.0
    world.start_member(member)
    await world.until(lambda: len(world.counts()) == 1)
    await world.stop("a")
    assert world.counts() == {}


async def test_abort_leaves_at_once_and_the_next_owner_goes_on(world: World) -> None:
    await world.caught_up()
    world.sink.faults.plan("apply", hang=True, times=4)
    world.container.fill(100)
    await world.pass_time(1)
    await world.kill("a")
    assert world.counts() == {"a": 4}
    world.start("b")
    await world.until(world.consistent, within_seconds=60 + 13 + 5)


async def test_no_task_outlives_the_host(world: World) -> None:
    await world.once_read(100)
    left = [t.get_name() for t in asyncio.all_tasks() if t.get_name().startswith(("range", "host"))]
    assert left == []


async def test_start_after_stop_on_the_same_names(world: World) -> None:
    for round_number in range(3):
        world.container.fill(10, prefix=f"round-{round_number}")
        await world.caught_up()
        await world.stop("a")
    assert world.consistent()
    assert world.leases.leases[LeaseToken("0")].owner is None


async def test_stop_reaches_a_child_that_is_just_being_acquired(world: World) -> None:
    member = await world.caught_up()
    child, _ = world.container.split("0")
    acquiring = member.leases.faults.plan("replace", about=child, delay_seconds=5.0, times=1)
    await world.until(lambda: acquiring.times == 0)
    await world.stop("a", within_seconds=10)
    assert world.counts() == {}


HANGING = {
    "every call": ("list", "read", "replace", "create", "delete"),
    "listings": ("list",),
    "writes": ("replace",),
    "reads": ("read",),
}


@pytest.mark.parametrize("operations", HANGING.values(), ids=HANGING.keys())
async def test_stop_while_the_lease_container_hangs_keeps_its_deadline(
    world: World, operations: tuple[str, ...]
) -> None:
    member = await world.caught_up()
    for operation in operations:
        member.leases.faults.plan(operation, hang=True, times=None)
    world.container.fill(100)
    await world.pass_time(20)
    assert world.consistent()
    await world.stop("a", within_seconds=32.1)


async def test_stop_while_listings_hang_drains_at_once(world: World) -> None:
    member = await world.caught_up()
    member.leases.faults.plan("list", hang=True, times=None)
    await world.pass_time(20)
    await world.stop("a", within_seconds=1)
    assert world.counts() == {}


async def test_stop_while_leases_are_throttled_for_long_does_not_wait_that_long(
    world: World,
) -> None:
    member = await world.caught_up()
    told = LeaseStoreUnavailable("throttled", retry_after_seconds=600)
    for operation in ("list", "read", "replace"):
        member.leases.faults.plan(operation, told, times=None)
    world.container.fill(100)
    await world.pass_time(20)
    await world.stop("a", within_seconds=3)


@pytest.mark.parametrize("operation", ["lock", "initialized", "unlock"])
async def test_stop_while_the_bootstrap_hangs_ends_soon(world: World, operation: str) -> None:
    member = world.member("a")
    member.markers.faults.plan(operation, hang=True, times=None)
    world.start_member(member)
    await world.pass_time(1)
    await world.stop("a", within_seconds=5)


async def test_stop_while_the_container_hangs_at_the_start_ends_soon(world: World) -> None:
    member = world.member("a")
    member.source.faults.plan("rid", hang=True, times=None)
    world.start_member(member)
    await world.pass_time(1)
    await world.stop("a", within_seconds=3)


async def test_stop_does_not_wait_for_last_words_that_hang(world: World) -> None:
    await world.caught_up()
    world.sink.faults.plan("report", hang=True, times=None)
    await world.stop("a", within_seconds=3)
