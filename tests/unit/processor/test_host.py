from __future__ import annotations

from tests.fakes.world import World


async def test_everything_is_read_applied_and_bookmarked(world: World) -> None:
    world.container.fill(500)
    world.start()
    await world.until(world.consistent)
    await world.until(lambda: all(x.continuation for x in world.leases.leases.values()))
    await world.stop()
    assert set(world.owners().values()) == {None}
    marks = {p.id: f'"{p.lsn}"' for p in world.container.partitions}
    assert {t: x.continuation for t, x in world.leases.leases.items()} == marks


async def test_change_arrives_within_the_longest_poll(world: World) -> None:
    world.container.fill(10)
    world.start()
    await world.until(world.consistent)
    await world.pass_time(60)
    world.container.put("late")
    await world.until(world.consistent, within_seconds=1.1)
