"""Two events that come together rarely, each of which once cost a range, a host or a change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from projector.core.errors import ConfigurationError, FeedRangeGone
from projector.core.names import InstanceName, LeaseToken
from projector.core.start import BEGINNING, NOW
from projector.core.states import CloseReason
from projector.processor.progress import wait_until_caught_up
from tests.fakes.world import World

BROKEN = "lease document 'x..1' has a ContinuationToken that is no text"


async def test_changes_written_after_lsns_went_back_are_read_although_we_start_from_now(
    one: World,
) -> None:
    one.container.fill(5)
    one.start("a", start_from=NOW)
    await one.until(lambda: one.counts() == {"a": 1})
    await one.pass_time(5)
    for number in range(20):
        one.container.put(f"new-{number}")
    await one.until(one.bookmarked)
    one.container.rewind(10)
    one.container.put("between")
    await one.until(lambda: any(cart == "between" for _, cart, _ in one.sink.delivered))


async def test_reopening_that_takes_long_is_not_taken_for_a_lost_range(one: World) -> None:
    """Its epoch is raised before it knows the new one; reports go on meanwhile."""
    one.container.fill(40)
    member = await one.caught_up()
    one.sink.faults.plan("open", delay_seconds=10.0, after=True)
    one.container.rewind(10)
    await one.until(one.consistent, within_seconds=60)
    assert f"released: {CloseReason.LEASE_LOST.value}" not in [h[0] for h in member.listener.heard]


async def test_partition_that_splits_at_the_start_does_not_end_the_host(one: World) -> None:
    member = one.member("a", start_from=NOW)
    member.source.faults.plan("resolve", FeedRangeGone("splitting"))
    one.start_member(member)
    await one.until(lambda: one.counts() == {"a": 1})


async def test_partition_that_splits_does_not_end_the_wait_for_the_end(one: World) -> None:
    one.container.fill(5)
    member = await one.caught_up()
    member.source.faults.plan("resolve", FeedRangeGone("splitting"))
    await wait_until_caught_up(
        source=member.source, leases=member.leases, clock=one.clock, start_from=BEGINNING
    )


async def test_child_that_cannot_be_taken_does_not_cost_the_other_ranges(world: World) -> None:
    world.container.fill(100)
    member = await world.caught_up()
    member.leases.faults.plan("read", ConfigurationError("403"), about="4", times=1)
    world.container.split("1")
    world.container.fill(100, prefix="later")
    await world.until(world.consistent)
    await world.until(world.bookmarked)
    assert member.task is not None
    assert not member.task.done()


async def test_child_that_another_host_took_is_left_to_it(world: World) -> None:
    world.container.fill(100)
    member = await world.caught_up()
    world.container.split("1")
    taken = LeaseToken("4")
    member.leases.faults.plan("read", about=taken, delay_seconds=3.0)
    await world.until(lambda: taken in world.leases.leases)
    stranger = replace(
        world.leases.leases[taken], owner=InstanceName("b"), timestamp=world.clock.now()
    )
    world.leases.write(stranger)
    await world.pass_time(5)
    assert world.leases.leases[taken].owner == "b"


class TestUnreadableLease:
    async def test_it_costs_its_own_keys_only_and_no_storm_of_repairs(self, world: World) -> None:
        await world.once_read(100)
        token = LeaseToken("1")
        world.leases.write(replace(world.leases.leases[token], unreadable=BROKEN, feed_range=None))
        world.container.fill(100, prefix="later")
        member = world.start("b")
        await world.until(lambda: world.counts() == {"b": 3})
        created = member.leases.faults.calls["create"]
        await world.pass_time(120)
        assert world.counts() == {"b": 3}
        assert member.leases.faults.calls["create"] == created
        assert member.leases.faults.calls["list"] < 30
        assert world.leases.leases[token].unreadable == BROKEN

    async def test_whoever_waits_for_the_end_is_told(self, world: World) -> None:
        await world.caught_up()
        member = world.members["a"]
        token = LeaseToken("1")
        world.leases.write(replace(world.leases.leases[token], unreadable=BROKEN))
        with pytest.raises(ConfigurationError, match="ContinuationToken"):
            await wait_until_caught_up(
                source=member.source,
                leases=member.leases,
                clock=world.clock,
                start_from=BEGINNING,
            )

    async def test_when_all_are_unreadable_they_are_somebody_elses(self, one: World) -> None:
        await one.caught_up()
        await one.stop("a")
        for lease in list(one.leases.leases.values()):
            one.leases.write(replace(lease, unreadable=BROKEN))
        member = one.start("b")
        one.members.clear()
        assert member.task is not None
        with pytest.raises(ConfigurationError, match="ContinuationToken"):
            await member.task
