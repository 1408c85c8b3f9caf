"""Checks 69 to 73 and 100: the life of one owned range."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from projector.core.errors import HandlerFailed, LeaseLost, LeaseStoreUnavailable, SourceUnavailable
from projector.core.names import InstanceName, LeaseToken
from tests.fakes.world import World


def tasks_of(token: str) -> set[str]:
    """Roles of a range whose tasks are alive."""
    prefix = f"range:{token}:"
    names = {task.get_name() for task in asyncio.all_tasks()}
    return {name.removeprefix(prefix) for name in names if name.startswith(prefix)}


async def test_check_069_failed_processing_ends_the_renewal(world: World) -> None:
    member = await world.caught_up("a", acquire_seconds=500.0)
    assert {"reader", "applier", "renewer", "watchdog"} <= tasks_of("0")
    world.sink.faults.plan("apply", HandlerFailed("no"), about="0", times=None)
    world.container.fill(40)
    await world.until(lambda: ("released: handler_failed", "0") in member.listener.heard)
    assert tasks_of("0") == set()


async def test_check_069_failed_renewal_ends_the_processing(world: World) -> None:
    member = await world.caught_up("a", acquire_seconds=500.0)
    lease = world.leases.leases[LeaseToken("0")]
    world.leases.write(replace(lease, owner=InstanceName("thief")))
    await world.until(
        lambda: ("released: lease_lost", "0") in member.listener.heard, within_seconds=18
    )
    assert tasks_of("0") == set()
    assert world.owners()["0"] == "thief"


async def test_check_069_stop_ends_both(world: World) -> None:
    member = await world.caught_up()
    await world.stop("a")
    assert member.listener.heard.count(("released: shutdown", "0")) == 1
    assert tasks_of("0") == set()


@pytest.mark.parametrize(
    "error",
    [HandlerFailed("no"), RuntimeError("a bug"), LeaseLost("robbed")],
    ids=["handler", "bug", "lease lost"],
)
async def test_check_070_every_end_releases_once(world: World, error: Exception) -> None:
    member = await world.caught_up("a", acquire_seconds=500.0)
    member.leases.faults.calls.clear()
    world.sink.faults.plan("apply", error, about="0")
    world.container.fill(40)
    await world.until(lambda: any(h[0].startswith("released") for h in member.listener.heard))
    released = [h for h in member.listener.heard if h[0].startswith("released")]
    assert [token for _, token in released] == ["0"]
    assert world.owners()["0"] is None


async def test_check_071_owned_lease_gets_no_second_worker(world: World) -> None:
    member = await world.caught_up("a", acquire_seconds=1.0)
    await world.pass_time(30)
    assert member.listener.heard.count(("acquired", "0")) == 1
    names = [task.get_name() for task in asyncio.all_tasks()]
    assert names.count("range:0:supervisor") == 1


async def test_check_072_failed_acquisition_frees_the_slot_and_is_told(world: World) -> None:
    member = world.member("a")
    member.leases.faults.plan("replace", LeaseStoreUnavailable("503"), about="0")
    world.start_member(member)
    await world.until(lambda: world.counts() == {"a": 4}, within_seconds=14)
    assert member.listener.heard.count(("failed: LeaseStoreUnavailable", "0")) == 1


async def test_check_072_lease_lost_on_acquisition_is_not_told(world: World) -> None:
    member = world.member("a")
    member.leases.faults.plan("replace", LeaseLost("taken"), about="0")
    world.start_member(member)
    await world.until(lambda: world.counts() == {"a": 4}, within_seconds=14)
    assert member.listener.errors == []


async def test_check_073_theft_is_released_without_error(world: World) -> None:
    world.container.fill(40)
    member = await world.caught_up()
    world.start("b")
    await world.until(lambda: world.counts() == {"a": 2, "b": 2})
    await world.until(lambda: len(member.host.reports()) == 2, within_seconds=20)
    assert [h for h in member.listener.heard if h[0] == "released: lease_lost"]
    assert member.listener.errors == []


async def test_check_100_hooks_that_raise_break_nothing(world: World) -> None:
    member = world.member("a")

    async def raise_it(*_: Any) -> None:
        raise RuntimeError("a bug in a hook")

    def raise_now(*_: Any, **__: Any) -> None:
        raise RuntimeError("a bug in a hook")

    listener: Any = member.listener
    listener.acquired = listener.released = listener.failed = raise_it
    listener.polled = listener.applied = listener.observed = raise_now
    member.source.faults.plan("read", SourceUnavailable("503"), times=4)
    world.container.fill(40)
    world.start_member(member)
    await world.until(world.consistent)
    await world.stop("a")
    assert world.counts() == {}
