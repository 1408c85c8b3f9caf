"""What a host does while Cosmos DB misbehaves: it waits where it is, keeps its leases, recovers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from cosmos_emulator import EmulatorServer
from projector.core.states import CloseReason, RangeState
from tests.acceptance.hosts_scene import DATABASE, Scene, scene, serving, until

PARTITIONS = 4


@pytest.fixture
async def stage(emulator: EmulatorServer, database_url: str) -> AsyncIterator[Scene]:
    """A container with documents and an empty copy."""
    async with scene(emulator, database_url) as made:
        yield made


async def test_throttled_leases_are_kept(stage: Scene) -> None:
    async with serving(stage):
        await stage.copied()
        before = stage.epochs()
        stage.fault(
            path_prefix=f"/dbs/{DATABASE}/colls/lease", status=429, retry_after_ms=20, times=60
        )
        stage.shop()
        await stage.copied()
        await until(stage.server.faults.listed, lambda left: not left)
        await until(lambda: stage.requests("replace_item"), lambda count: count > PARTITIONS)
        assert stage.epochs() == before


WAITING = RangeState.WAITING_FOR_SOURCE
TROUBLE = {
    "429 throttled": (RangeState.THROTTLED, {"status": 429, "substatus": 3200}),
    "449 retry with": (WAITING, {"status": 449}),
    "503 unavailable": (WAITING, {"status": 503}),
    "408 timeout": (WAITING, {"status": 408}),
    "500 internal": (WAITING, {"status": 500}),
    "404/1002 replica behind": (WAITING, {"status": 404, "substatus": 1002}),
    "connection dropped": (WAITING, {"action": "drop"}),
    "answer cut short": (WAITING, {"action": "truncate"}),
}


@pytest.mark.parametrize(("state", "trouble"), TROUBLE.values(), ids=TROUBLE)
async def test_an_outage_of_the_feed_costs_time_only(
    stage: Scene, state: RangeState, trouble: dict[str, Any]
) -> None:
    async with serving(stage):
        await stage.copied()
        before = stage.epochs()
        stage.fault(operation="change_feed", **trouble)
        stage.shop()
        await stage.all_in(state)
        assert stage.wrong()
        stage.heal()
        await stage.copied()
        assert stage.epochs() == before
    assert set(stage.witness.endings) == {CloseReason.SHUTDOWN}


async def test_a_split_that_is_completing_is_waited_for(stage: Scene) -> None:
    async with serving(stage):
        await stage.copied()
        first = stage.carts.partitions()[0].range_id
        stage.carts.split(first, completing_seconds=1.0)
        stage.shop()
        await stage.copied()
        # The child that holds none of the new documents may be opened after they are copied.
        await until(stage.epochs, lambda found: len(found) == PARTITIONS + 1)
