"""Hosts that share a container with hosts whose clock or name is wrong."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from projector.core.lease import Lease
from projector.core.names import InstanceName, LeaseToken
from projector.core.ranges import FeedRange
from projector.processor.progress import wait_until_caught_up
from tests.fakes.clock import FakeClock
from tests.fakes.world import World


def acquisitions(world: World) -> int:
    """How often any host took a lease."""
    heard = [entry for member in world.members.values() for entry in member.listener.heard]
    return sum(what == "acquired" for what, _ in heard)


@pytest.mark.parametrize("offset_seconds", [120.0, -120.0, 86_400.0])
async def test_leases_come_to_rest_beside_a_host_with_a_wrong_clock(
    world: World, offset_seconds: float
) -> None:
    world.start("a")
    world.start("b")
    world.start("wrong", clock=FakeClock(offset_seconds=offset_seconds))
    await world.pass_time(120)
    assert sorted(world.counts().values()) == [1, 1, 2]
    before = acquisitions(world)
    await world.pass_time(600)
    assert acquisitions(world) == before


async def test_lease_of_the_dead_is_taken_whatever_time_it_bears(world: World) -> None:
    world.start("a")
    await world.until(lambda: world.counts() == {"a": 4})
    await world.stop("a")
    for lease in list(world.leases.leases.values()):
        times = world.clock.now() + timedelta(days=3650)
        world.leases.write(replace(lease, owner=InstanceName("dead"), timestamp=times))
    world.start("b")
    await world.until(lambda: world.counts() == {"b": 4}, within_seconds=80)


async def test_leases_come_to_rest_between_two_hosts_of_one_name(world: World) -> None:
    world.container.fill(100)
    await world.caught_up("a", instance_name="shared")
    with capture_logs() as told:
        world.start("b", instance_name="shared")
        await world.pass_time(180)
    before = acquisitions(world)
    world.container.fill(100, prefix="later")
    await world.pass_time(600)
    assert acquisitions(world) == before
    assert {len(member.host.reports()) for member in world.members.values()} == {2}
    assert world.consistent()
    warnings = [entry for entry in told if entry["event"] == "instance_name_shared"]
    assert len(warnings) == 2
    failures = [r.failure for member in world.members.values() for r in member.host.reports()]
    assert all(f is not None and "PROJECTOR_INSTANCE_NAME" in f.message for f in failures)


async def test_hundreds_of_slivers_cost_one_line(world: World) -> None:
    await world.once_read(100)
    for number in range(300):
        keys = FeedRange(min=f"1{number:03X}0", max=f"1{number:03X}8")
        token = LeaseToken(str(keys))
        world.leases.write(Lease(id=token, token=token, version=1, feed_range=keys))
    world.container.fill(100, prefix="later")
    with capture_logs() as told:
        member = world.start("b")
        waiting = asyncio.create_task(
            wait_until_caught_up(
                source=member.source,
                leases=member.leases,
                clock=world.clock,
                start_from=member.options.start_from,
            )
        )
        await world.until(waiting.done, within_seconds=5)
        await world.pass_time(60)
    waiting.result()
    assert world.consistent()
    assert len(member.host.reports()) == 4
    (line,) = [entry for entry in told if entry["event"] == "leases_implausible"]
    assert (line["count"], len(line["leases"])) == (300, 5)
