"""The user's old way while a rebuild runs: whoever deletes the lease container has everything read again."""

from __future__ import annotations

import asyncio

from projector.ports.generations import FillSource
from projector.postgres import generations
from projector.postgres.generation import FIRST_CONTROL
from projector.projection.carts import CARTS
from tests.integration.rebuild.support import Site, lines
from tests.integration.rebuild.test_followed import PATIENCE_SECONDS, followed, hosts

DATABASE = "acme-webstore"
SWEPT = "SELECT count(*) FROM {control}.replays WHERE phase = 'done'"


async def swept(site: Site) -> list[int]:
    """How many replays have ended, of each generation."""
    found = [
        await site.sql(SWEPT.replace("{control}", control))
        for control in (FIRST_CONTROL, site.generation.control)
    ]
    return [count for ((count,),) in found]


async def test_every_generation_is_read_again_and_swept(site: Site) -> None:
    await site.load(lines(60))
    async with hosts(site, 2):
        async with site.connections(FIRST_CONTROL) as first:
            await generations.create(
                first,
                CARTS,
                who="me",
                why=None,
                source=FillSource.FEED,
                processor_name="projector",
            )
        await followed(site)
        before = await swept(site)
        carts = site.world.server.engine.container(DATABASE, "cart")
        for number in range(0, 60, 9):  # never in the feed again
            carts.delete(f"line-{number}", f"cart-{number // 5}")
        site.world.server.engine.delete_container(DATABASE, "lease")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not all(  # noqa: ASYNC110 - others write
                now >= then + 4 for now, then in zip(await swept(site), before, strict=True)
            ):
                await asyncio.sleep(0.1)
    assert [row[1] for row in await site.rows()] == [
        row[1] for row in await site.rows("projector_g1")
    ]
    assert len(await site.rows()) == 60 - 7
    assert await site.totals() == await site.totals("projector_g1")
    assert (await site.verify()).consistent
