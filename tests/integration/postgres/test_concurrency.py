"""Real sessions at once on shared carts and items, stale and new versions mixed: then a recount.

Ranges of one container never share a cart; here they are made to, because a repair, a retry or a
mistake of the fence must not be able to leave a wrong total behind either.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from projector.core.ranges import FeedRange
from projector.ports.feed import Grant
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.sink import PostgresSink
from projector.projection.writes import ProjectedPage
from tests.integration.postgres.carts import Model, Shop, apply, begun, page, rows, views

QUARTERS = ("", "10", "20", "30", "FF")


async def deadlocks(connections: Connections) -> int:
    async with connections.session() as session:
        found = await rows(
            session, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        )
    return int(found[0][0])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
async def test_four_sessions_on_the_same_carts_leave_exact_totals(
    connections: Connections, returning_old: bool | None, seed: int
) -> None:
    sink = PostgresSink(connections, returning_old=returning_old)
    shop, model = Shop(seed, carts=12, documents=8), Model()
    grants = [
        await begun(sink, token=str(n), keys=FeedRange(min=low, max=high), mark=1000)
        for n, (low, high) in enumerate(pairwise(QUARTERS))
    ]
    work: list[tuple[Grant, list[ProjectedPage]]] = []
    for grant in grants:
        pages = [page(*(shop.write(200) for _ in range(80))) for _ in range(12)]
        work.append((grant, pages))
        model.apply(write for one in pages for write in one.writes)

    async def host(grant: Grant, pages: list[ProjectedPage]) -> None:
        for one in pages:
            await apply(sink, grant, one)
            await apply(sink, grant, one)

    await asyncio.gather(*(host(*one) for one in work))
    assert await views(connections) == model.views()
    assert await deadlocks(connections) == 0


async def test_a_batch_waits_for_another_and_sees_what_it_wrote(
    connections: Connections, sink: PostgresSink
) -> None:
    """The statement's snapshot is older than the rows it meets after the wait."""
    left = await begun(sink, token="1", keys=FeedRange(min="", max="20"))
    right = await begun(sink, token="2", keys=FeedRange(min="20", max="FF"))
    shop, model = Shop(3, carts=2, documents=3), Model()
    for _ in range(20):
        pages = [page(*(shop.write(30) for _ in range(6))) for _ in range(2)]
        model.apply(write for one in pages for write in one.writes)
        await asyncio.gather(apply(sink, left, pages[0]), apply(sink, right, pages[1]))
    assert await views(connections) == model.views()


async def test_more_batches_than_connections_wait_their_turn(database_url: str) -> None:
    options = ConnectionOptions(url=database_url, connections=2)
    async with Connections(options) as connections:
        sink = PostgresSink(connections)
        grants = [
            await begun(sink, token=str(n), keys=FeedRange(min=low, max=high))
            for n, (low, high) in enumerate(pairwise(QUARTERS))
        ]
        shop = Shop(1)
        done = await asyncio.gather(
            *(apply(sink, grant, page(*(shop.write(9) for _ in range(5)))) for grant in grants * 5)
        )
        assert len(done) == 20
