"""A host that stops in good order hands its ranges over at once, not with the next listing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from projector.wiring.service import Service
from tests.integration.wiring.support import Shop

pytestmark = pytest.mark.postgres

NEVER_SECONDS = 3600.0


async def test_ranges_of_a_stopped_host_are_taken_without_waiting_for_the_next_listing(
    shop: Shop,
) -> None:
    shop.open(8)
    first, second = (
        Service(
            shop.settings(
                instance_name=name, lease_acquire_seconds=NEVER_SECONDS, lease_renew_seconds=10
            )
        )
        for name in ("first", "second")
    )
    async with asyncio.timeout(240), asyncio.TaskGroup() as group:
        group.create_task(first.run())
        await until(lambda: len(first.reports()) == 4)
        group.create_task(second.run())
        await until(lambda: bool(second.reports()))
        first.request_stop()
        await until(lambda: len(second.reports()) == 4)
        second.request_stop()


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - states of processes, not events of ours
        await asyncio.sleep(0.05)
