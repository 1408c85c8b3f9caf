"""The sweep of a replay on a container that has little to spare."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from projector.core.errors import Throttled
from projector.cosmos.point_reads import CosmosPointReader
from projector.ports.points import PointRead
from tests.integration.verify.support import Pair

ROWS = 40
EVERY = 3


async def test_a_throttled_point_read_is_asked_again_alone(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were the others given up with it, a sweep on a small container would never end."""
    read, count = CosmosPointReader.read, itertools.count(1)

    async def short_of_units(
        reader: CosmosPointReader, key: str, document_id: str, *, session_token: str | None = None
    ) -> PointRead:
        if next(count) % EVERY == 0:
            raise Throttled(retry_after_seconds=0.01)
        return await read(reader, key, document_id, session_token=session_token)

    await pair.lines(ROWS)
    await pair.drain()
    for number in range(ROWS):
        await pair.world.delete(f"cart-{number // 5}", f"line-{number}")
    async with pair.copy() as copy:
        for lease in await copy.opened.leases.list_leases():
            await copy.opened.leases.delete(lease)
    monkeypatch.setattr(CosmosPointReader, "read", short_of_units)
    async with asyncio.timeout(120):
        await pair.drain()
    assert await pair.value("SELECT count(*) FROM carts.cart_items") == 0
    assert await pair.totals_wrong() == 0
