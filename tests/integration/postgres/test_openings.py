"""Live ranges never overlap, whoever opens them and whatever they knew when they began."""

from __future__ import annotations

import asyncio

import pytest

from projector.core.errors import SinkUnavailable
from projector.core.ranges import FULL_RANGE, FeedRange
from projector.postgres.connections import Connections
from projector.postgres.sink import PostgresSink
from tests.integration.postgres.carts import begun, claim, rows

HALF = FeedRange(min="", max="80")
OVERLAPS = """
SELECT count(*) FROM projector.ranges a JOIN projector.ranges b ON a.id < b.id
WHERE a.retired_at IS NULL AND b.retired_at IS NULL
  AND a.min_epk < b.max_epk AND a.max_epk > b.min_epk"""
# As a host of the release before does it, which takes another lock: it has looked already.
BLIND = """
INSERT INTO projector.ranges (container_rid, processor_name, lease_token, min_epk, max_epk, epoch,
  opened_epoch, lineage, recent_ticks, opened_at)
VALUES ('rid1', 'p', '9', '', '80', 1, 1, 0, '{0,0,0,0}', now())"""


async def test_a_range_over_the_keys_of_a_live_one_is_refused_and_tried_again(
    connections: Connections, sink: PostgresSink
) -> None:
    await begun(sink)
    with pytest.raises(SinkUnavailable) as refused:
        async with connections.session() as session:
            await session.execute(BLIND)
    assert refused.value.sqlstate == "40001"


async def test_openings_at_the_same_time_leave_no_overlap(
    connections: Connections, sink: PostgresSink
) -> None:
    keys = [FULL_RANGE, HALF, FeedRange(min="40", max="C0"), FeedRange(min="80", max="FF")]
    outcomes = await asyncio.gather(
        *(sink.open(claim(str(n), keys[n % 4])) for n in range(6)), return_exceptions=True
    )
    assert any(not isinstance(one, BaseException) for one in outcomes)
    async with connections.session() as session:
        assert await rows(session, OVERLAPS) == [(0,)]
