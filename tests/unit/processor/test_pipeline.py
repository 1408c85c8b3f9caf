"""How often a lease is written, and with what."""

from __future__ import annotations

import asyncio

from projector.core.errors import LeaseStoreUnavailable
from projector.core.names import LeaseToken
from tests.fakes.world import World

ZERO = LeaseToken("0")


async def test_busy_range_is_bookmarked_once_a_second(one: World) -> None:
    member = await one.caught_up("a", page_size=10, batch_documents=10)
    member.leases.faults.calls.clear()

    async def write() -> None:
        for number in range(1000):
            one.container.put(f"busy-{number}")
            await one.clock.sleep(0.01)

    writer = asyncio.create_task(write())
    await one.pass_time(10)
    await writer
    assert 8 <= member.leases.faults.calls["replace"] <= 12
    await one.until(one.bookmarked, within_seconds=2)


async def test_quiet_range_is_bookmarked_at_once(one: World) -> None:
    await one.caught_up()
    await one.pass_time(5)
    one.container.put("one")
    await one.until(one.consistent)
    await one.until(one.bookmarked, within_seconds=0.05)


async def test_bookmark_counts_as_renewal(one: World) -> None:
    member = await one.caught_up("a", acquire_seconds=500.0)
    await one.pass_time(20)
    member.leases.faults.calls.clear()
    for _ in range(10):
        one.container.put("again")
        await one.pass_time(5)
    assert member.leases.faults.calls["replace"] <= 12


async def test_idle_range_writes_only_renewals(one: World) -> None:
    member = await one.caught_up("a", acquire_seconds=5000.0)
    await one.pass_time(60)
    member.leases.faults.calls.clear()
    await one.pass_time(1700)
    assert 98 <= member.leases.faults.calls["replace"] <= 101


async def test_outage_of_the_leases_delays_the_bookmark_and_nothing_else(one: World) -> None:
    member = await one.caught_up("a", acquire_seconds=500.0)
    member.leases.faults.plan("replace", LeaseStoreUnavailable("503"), times=5)
    one.container.fill(30)
    await one.until(one.consistent, within_seconds=2)
    assert not one.bookmarked()
    await one.until(one.bookmarked, within_seconds=60)


async def test_stop_during_an_outage_of_the_leases_ends_in_time(one: World) -> None:
    member = await one.caught_up()
    member.leases.faults.plan("replace", LeaseStoreUnavailable("503"), times=None)
    one.container.fill(30)
    await one.until(one.consistent)
    await one.stop("a", within_seconds=30)


async def test_moving_places_of_others_are_committed_once_a_second(one: World) -> None:
    await one.caught_up("a", poll_max_seconds=0.05)
    before = len(one.sink.batches)
    for _ in range(100):
        one.container.partitions[0].lsn += 1
        await one.pass_time(0.1)
    assert 8 <= len(one.sink.batches) - before <= 12
    await one.until(one.bookmarked, within_seconds=3)


async def test_bookmark_never_runs_ahead_of_the_target(one: World) -> None:
    one.container.fill(200)
    one.start("a", page_size=5, batch_documents=20)
    lsn = 0
    while not one.bookmarked():
        lease = one.leases.leases.get(ZERO)
        if lease is not None and lease.continuation is not None:
            lsn = int(lease.continuation.strip('"'))
            position = one.sink.stored("0").position
            assert position is not None
            assert lsn <= (position.lsn or 0)
        await one.clock.sleep(0.001)
    assert lsn > 0
