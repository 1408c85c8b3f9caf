"""Ranges that were freed by a person's word come back at once, not with the next listing."""

from __future__ import annotations

from dataclasses import replace

from projector.core.lease import reset
from tests.fakes.world import World


async def settled(world: World) -> None:
    """Everything is read, and the next listing is most of an acquire interval away."""
    world.container.fill(100)
    await world.until(world.bookmarked)
    await world.pass_time(14.0 - world.clock.monotonic() % 13.0)


async def test_all_ranges_of_a_reset_are_read_again_within_seconds(world: World) -> None:
    world.start("a")
    await settled(world)
    before = len(world.sink.delivered)
    world.sink.request_replay()
    for lease in list(world.leases.leases.values()):
        world.leases.write(reset(lease, now=world.clock.now()))
    await world.until(
        lambda: len(world.sink.delivered) >= before + 100 and world.bookmarked(), within_seconds=5
    )


async def test_a_range_fenced_in_the_middle_of_a_listing_comes_back_within_seconds(
    world: World,
) -> None:
    """The end of the listing plans the next one anew; it must not forget who waits."""
    member = world.start("a")
    await settled(world)
    listed = member.leases.list_leases
    listings = []

    async def slow() -> object:
        found = await listed()
        listings.append(found)
        if len(listings) == 1:
            world.sink.request_replay()
            await world.clock.sleep(1.2)
        return found

    member.leases.list_leases = slow  # type: ignore[method-assign, assignment]
    await world.until(lambda: listings, within_seconds=14)
    await world.until(lambda: len(member.listener.heard) == 12, within_seconds=6)
    assert world.counts() == {"a": 4}


async def test_a_lease_whose_owner_was_taken_out_is_acquired_within_seconds(world: World) -> None:
    world.start("a", renew_seconds=1.0)
    await settled(world)
    for lease in list(world.leases.leases.values()):
        world.leases.write(replace(lease, owner=None))
    await world.until(lambda: world.counts() == {"a": 4}, within_seconds=5)


async def test_a_stop_in_the_middle_of_a_listing_is_not_put_off(world: World) -> None:
    member = world.start("a")
    await settled(world)
    listed = member.leases.list_leases
    waiting = []

    async def slow() -> object:
        waiting.append(True)
        await world.clock.sleep(0.5)
        return await listed()

    member.leases.list_leases = slow  # type: ignore[method-assign, assignment]
    await world.until(lambda: waiting, within_seconds=20)
    await world.stop("a", within_seconds=2.0)
