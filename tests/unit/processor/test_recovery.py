"""What users find stuck elsewhere: recreated containers, restores, stalls, zombies."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from projector.core.errors import ContinuationRefused, SchemaMismatch, SourceRecreated
from projector.core.names import InstanceName, LeaseToken
from projector.core.states import RangeState
from tests.fakes.source import FakeChangeSource
from tests.fakes.world import World

ZERO = LeaseToken("0")


async def test_recreated_container_stops_its_ranges_and_keeps_the_rows(world: World) -> None:
    world.container.fill(100)
    member = await world.caught_up()
    rows = dict(world.sink.live_rows())
    world.container.recreate()
    world.container.fill(10, prefix="other")
    await world.until(lambda: world.state("0") is RangeState.SOURCE_RECREATED)
    await world.pass_time(200)
    assert world.sink.live_rows() == rows
    assert world.counts() == {"a": 4}
    assert world.sink.reports[ZERO].state is RangeState.SOURCE_RECREATED
    failure = world.sink.reports[ZERO].failure
    assert failure is not None
    assert "accept-new-source" in failure.message
    assert len(member.listener.errors) == 4
    assert not [h for h in member.listener.heard if h[0].startswith("released")]


async def test_container_recreated_between_two_runs_parks_every_range(world: World) -> None:
    await world.once_read(100)
    rows = dict(world.sink.live_rows())
    world.container.recreate()
    world.leases.clear()
    world.container.fill(10, prefix="other")
    world.start("b")
    await world.until(lambda: world.state("0") is RangeState.SOURCE_RECREATED)
    await world.pass_time(100)
    assert world.sink.live_rows() == rows
    world.sink.container_rid = world.container.rid
    world.sink.ranges.clear()
    await world.until(
        lambda: set(world.container.documents()) <= set(world.sink.live_rows()),
        within_seconds=20,
    )
    await world.until(world.consistent)


async def test_host_ends_when_the_target_follows_another_container(one: World) -> None:
    one.container.fill(10)
    member = await one.caught_up()
    one.container.recreate()
    await one.until(lambda: one.state() is RangeState.SOURCE_RECREATED)
    one.sink.container_rid = one.container.rid
    assert member.task is not None
    with pytest.raises(SourceRecreated):
        await member.task
    assert one.counts() == {}
    one.members.clear()


async def test_restored_container_is_replayed_in_a_new_lineage(world: World) -> None:
    world.container.fill(400)
    await world.caught_up()
    world.container.rewind(40)
    assert not world.consistent()
    await world.until(world.consistent, within_seconds=30)
    world.container.put("cart-1", quantity=9)
    await world.until(world.consistent)
    assert {stored.lineage for stored in world.sink.ranges} == {1}


async def test_late_replica_is_no_restore(one: World) -> None:
    one.container.fill(50)
    member = await one.caught_up("a", poll_max_seconds=0.3)
    before = len(one.sink.delivered)
    partition = one.container.partitions[0]
    newest, partition.lsn = partition.lsn, 20
    await one.pass_time(1.0)
    partition.lsn = newest
    await one.pass_time(30)
    assert len(one.sink.delivered) == before
    assert member.listener.errors == []
    assert one.leases.leases[ZERO].continuation == f'"{newest}"'


async def test_range_that_is_behind_and_not_moving_is_restarted(one: World) -> None:
    one.container.fill(10)
    member = await one.caught_up("a", stall_seconds=60.0)
    real = member.source.read_page
    stuck_until = one.clock.monotonic() + 100

    async def stuck(*args: object, **kwargs: object) -> object:
        page = await real(*args, **kwargs)  # type: ignore[arg-type]
        if one.clock.monotonic() > stuck_until:
            return page
        return type(page)(
            body=None,
            continuation=f'"{11}"',  # type: ignore[arg-type]
            lsn=11,
            session_lsn=99,
        )

    member.source.read_page = stuck  # type: ignore[method-assign, assignment]
    one.container.fill(5, prefix="later")
    await one.pass_time(90)
    await one.until(one.consistent, within_seconds=60)


async def test_apply_that_hangs_is_ended_and_repeated(one: World) -> None:
    one.container.fill(10)
    member = one.start("a", apply_stall_seconds=30.0, stall_seconds=30.0)
    one.sink.faults.plan("apply", hang=True)
    await one.until(lambda: ("released: stalled", "0") in member.listener.heard)
    await one.until(one.consistent, within_seconds=20)


async def test_slow_handler_without_limit_is_left_alone(one: World) -> None:
    one.container.fill(10)
    member = one.start("a", apply_stall_seconds=None, stall_seconds=30.0)
    one.sink.faults.plan("apply", delay_seconds=600.0)
    await one.until(one.consistent, within_seconds=700)
    assert member.listener.errors == []
    assert one.counts() == {"a": 1}


async def test_zombie_applies_nothing_after_its_lease_was_taken(one: World) -> None:
    one.container.fill(10)
    zombie = one.start("a")
    await one.until(one.bookmarked)
    one.sink.faults.plan("apply", delay_seconds=200.0)
    zombie.leases.faults.plan("replace", hang=True, times=None)
    zombie.leases.faults.plan("list", hang=True, times=None)
    one.container.fill(10, prefix="later")
    await one.pass_time(1)
    one.start("b")
    await one.until(one.consistent, within_seconds=90)
    delivered = len(one.sink.delivered)
    await one.pass_time(200)
    assert len(one.sink.delivered) == delivered
    assert one.owners() == {"0": "b"}
    zombie.leases.faults.clear()
    await one.kill("a")


async def test_newer_epoch_ends_the_range_within_a_report(one: World) -> None:
    one.container.fill(10)
    member = await one.caught_up("a", acquire_seconds=500.0)
    one.sink.ranges[0].epoch += 100  # type: ignore[assignment]
    await one.until(
        lambda: ("released: lease_lost", "0") in member.listener.heard, within_seconds=1.5
    )
    assert member.listener.errors == []
    await one.until(lambda: one.counts() == {"a": 1}, within_seconds=5)


async def test_second_processor_in_one_target_does_not_spin(one: World) -> None:
    one.container.fill(10)
    member = await one.caught_up()
    for _ in range(100):
        one.sink.ranges[0].epoch += 100  # type: ignore[assignment]
        await one.pass_time(3)
    assert member.listener.heard.count(("acquired", "0")) < 20
    await one.until(lambda: one.state() is not RangeState.FENCED_OUT, within_seconds=100)


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ("read", ContinuationRefused("400: malformed")),
        ("apply", SchemaMismatch("newer schema")),
        ("apply", RuntimeError("a bug")),
    ],
    ids=["refused continuation", "wrong schema", "bug"],
)
async def test_failure_for_a_person_is_shown_and_tried_ever_more_rarely(
    one: World, where: str, error: Exception
) -> None:
    await one.caught_up()
    member = one.members["a"]
    faults = member.source.faults if where == "read" else one.sink.faults
    faults.plan(where, error, times=None)
    one.container.fill(3)
    await one.until(lambda: one.state() is RangeState.STOPPED)
    failure = member.host.reports()[0].failure
    assert failure is not None
    assert str(error) in failure.message
    await one.pass_time(600)
    assert 3 <= len(member.listener.errors) < 15
    assert one.sink.reports[ZERO].failure is not None
    faults.clear()
    await one.until(one.consistent, within_seconds=320)


async def test_other_ranges_go_on_beside_a_failing_one(world: World) -> None:
    await world.caught_up()
    world.sink.faults.plan("apply", SchemaMismatch("no"), about="2", times=None)
    world.container.fill(100)
    others = {"0", "1", "3"}
    await world.until(
        lambda: {token for token, _, _ in world.sink.delivered} == others, within_seconds=5
    )
    world.sink.faults.clear()
    await world.until(world.consistent, within_seconds=60)


async def test_source_stays_one_object_for_all_ranges(world: World) -> None:
    member = await world.caught_up()
    assert isinstance(member.source, FakeChangeSource)
    assert member.source.faults.calls["ranges"] <= 6


async def test_taken_lease_is_noticed_with_the_next_listing(one: World) -> None:
    member = await one.caught_up("a", acquire_seconds=2.0, renew_seconds=50.0)
    taken = replace(one.leases.leases[ZERO], owner=InstanceName("thief"), timestamp=one.clock.now())
    one.leases.write(taken)
    await one.until(
        lambda: ("released: lease_lost", "0") in member.listener.heard, within_seconds=2.5
    )


async def test_host_whose_leases_went_with_the_container_ends_when_the_target_follows(
    world: World,
) -> None:
    world.container.fill(100)
    member = await world.caught_up()
    world.container.recreate()
    world.leases.clear()
    await world.until(lambda: not member.host.reports())
    world.sink.container_rid = world.container.rid
    world.sink.ranges.clear()
    assert member.task is not None
    with pytest.raises(SourceRecreated):
        await asyncio.wait_for(member.task, 60)
    world.members.clear()


async def test_doubt_that_proves_wrong_is_forgotten(one: World) -> None:
    one.container.fill(10)
    member = await one.caught_up()
    rids = member.source.faults.calls["rid"]
    await one.pass_time(100)
    assert member.source.faults.calls["rid"] == rids
    recreated = SourceRecreated(expected_rid="old", found_rid="new")
    member.source.faults.plan("read", recreated)
    await one.pass_time(100)
    assert member.source.faults.calls["rid"] == rids + 1
    assert one.state() is RangeState.READING
