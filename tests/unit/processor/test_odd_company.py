"""Hosts that share a container with hosts whose clock or name is wrong."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from projector.core.names import InstanceName
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
