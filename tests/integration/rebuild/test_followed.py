"""Hosts fill a generation beside the live one, and follow the feed for it from where it was anchored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from projector.ports.generations import FillSource, GenerationState
from projector.postgres import generations
from projector.postgres.generation import FIRST_CONTROL
from projector.projection.carts import CARTS
from projector.wiring.service import Service
from tests.integration.rebuild.support import Site, lines

LOOK_SECONDS = 0.05
PATIENCE_SECONDS = 120


@asynccontextmanager
async def hosts(site: Site, count: int) -> AsyncIterator[None]:
    """So many hosts in this process, in a hurry."""
    services = [
        Service(
            site.settings(
                processor_name="projector",
                instance_name=f"host-{number}",
                lease_acquire_seconds=0.3,
                rebuild_page_size=10,
            )
        )
        for number in range(count)
    ]
    async with asyncio.TaskGroup() as group:
        for service in services:
            group.create_task(service.run(migrate=False))
        try:
            yield
        finally:
            for service in services:
                service.request_stop()


async def followed(site: Site) -> None:
    """Wait until both generations hold the same rows, and the second one follows."""
    async with site.connections(FIRST_CONTROL) as first, asyncio.timeout(PATIENCE_SECONDS):
        while True:
            newest, *_ = await generations.records(first)
            if newest.state is GenerationState.FOLLOWING:
                rows = await site.rows()
                live = await site.rows("projector_g1")
                if [row[:-1] for row in rows] == [row[:-1] for row in live]:
                    return
            await asyncio.sleep(LOOK_SECONDS)


@pytest.mark.parametrize("source", list(FillSource), ids=str)
async def test_a_generation_is_filled_and_followed_while_documents_change(
    site: Site, source: FillSource
) -> None:
    await site.load(lines(300))
    async with hosts(site, 2):
        async with site.connections(FIRST_CONTROL) as first:
            await generations.create(
                first, CARTS, who="me", why=None, source=source, processor_name="projector"
            )
        for number in range(0, 300, 15):
            key = f"cart-{number // 5}"
            await site.world.write(key, f"line-{number}", item="new", quantity=number)
            await site.world.write(key, f"line-{number + 1}", item="gone", quantity=1, ttl=600)
            await site.world.write(key, f"more-{number}", item="more", quantity=1)
        await followed(site)
    assert await site.totals() == await site.totals("projector_g1")
    assert await site.sql("SELECT count(*) FROM projector_g2.replays") == [(0,)]
    assert (await site.verify()).consistent
