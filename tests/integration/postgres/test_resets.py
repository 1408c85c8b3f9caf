"""Asking for replays beside running hosts, and following a recreated container."""

from __future__ import annotations

import asyncio

import pytest

from projector.core.errors import FencedOut, SourceRecreated
from projector.core.ranges import FeedRange
from projector.ports.feed import Beginning, Grant
from projector.postgres.connections import Connections
from projector.postgres.ranges import live_ranges
from projector.postgres.resets import accept_new_source, request_replay
from projector.postgres.sequences import lock_openings
from projector.postgres.sink import PostgresSink
from projector.postgres.source import register_source
from tests.integration.postgres.carts import (
    NOWHERE,
    RID,
    apply,
    begun,
    claim,
    line,
    page,
    position,
    rows,
    views,
)

LEFT, RIGHT = FeedRange(min="", max="20"), FeedRange(min="20", max="FF")


async def test_running_owner_is_fenced_and_the_next_one_replays(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    await apply(sink, grant, page(line("a", "1", 7)), at=7)
    assert await request_replay(connections, RID) == 1
    with pytest.raises(FencedOut):
        await apply(sink, grant, page(line("a", "2", 8)), at=8)
    again = await sink.open(grant.claim)
    assert (again.replay_requested, again.stored, again.replay_open) == (True, None, False)


async def test_request_outlives_openings_until_it_has_begun(
    connections: Connections, sink: PostgresSink
) -> None:
    await begun(sink)
    await request_replay(connections, RID)
    for owner in ("host-a", "host-b"):
        assert (await sink.open(claim(owner=owner))).replay_requested
    grant = await sink.begin(
        await sink.open(claim()), Beginning(position=NOWHERE, replay_mark_lsn=50)
    )
    assert (grant.replay_open, grant.replay_requested) == (True, False)
    again = await sink.open(claim())
    assert (again.replay_open, again.replay_requested, again.replay_mark_lsn) == (True, False, 50)


async def test_start_from_now_ends_a_request_without_a_sweep(
    connections: Connections, sink: PostgresSink
) -> None:
    await begun(sink)
    await request_replay(connections, RID)
    await sink.begin(await sink.open(claim()), Beginning(position=position(5), anchored_from="now"))
    again = await sink.open(claim())
    assert (again.replay_open, again.replay_requested, again.stored) == (False, False, position(5))


async def test_one_range_alone(connections: Connections, sink: PostgresSink) -> None:
    await begun(sink, token="1", keys=LEFT)
    right = await begun(sink, token="2", keys=RIGHT)
    assert await request_replay(connections, RID, [LEFT]) == 1
    assert (await apply(sink, right, page(line("a", "1", 7)))).upserted == 1
    assert (await sink.open(claim("1", LEFT))).replay_requested


async def test_child_that_was_not_opened_learns_of_it_from_its_parent(
    connections: Connections, sink: PostgresSink
) -> None:
    parent = await begun(sink)
    await apply(sink, parent, at=7)
    await sink.open(claim("1", LEFT))
    assert await request_replay(connections, RID) == 2
    assert (await sink.open(claim("2", RIGHT))).replay_requested


async def test_keys_without_a_range_need_no_request(connections: Connections) -> None:
    assert await request_replay(connections, RID) == 0
    assert await request_replay(connections, RID, [LEFT]) == 0


async def test_reset_of_another_container_is_refused(
    connections: Connections, sink: PostgresSink
) -> None:
    await begun(sink)
    with pytest.raises(SourceRecreated):
        await request_replay(connections, "rid2")


async def test_following_a_recreated_container_keeps_the_rows_and_starts_above_them(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    await apply(sink, grant, page(line("a", "1", 700)), at=700)
    assert await accept_new_source(connections, "rid2")
    assert not await accept_new_source(connections, "rid2")
    with pytest.raises(FencedOut):
        await apply(sink, grant, page(line("a", "2", 701)))
    with pytest.raises(SourceRecreated):
        await sink.open(claim())
    new = await sink.open(claim(rid="rid2"))
    assert (new.stored, new.lineage) == (None, grant.lineage + 1)
    assert len((await views(connections))["cart_items"]) == 1
    new = await sink.begin(new, Beginning(position=NOWHERE, replay_mark_lsn=3))
    await apply(sink, new, page(line("a", "1", 2, item="Pen")))
    assert (await views(connections))["item_totals"] == {("Pen", 1, 1)}
    assert [one.container_rid for one in await live_ranges(connections)] == ["rid2"]
    assert await live_ranges(connections, RID) == []


async def test_going_back_to_the_first_container_starts_above_the_rows_of_the_other(
    connections: Connections, sink: PostgresSink
) -> None:
    """Somebody followed the wrong container: what it left must lose to the right one."""
    first = await begun(sink)
    await apply(sink, first, page(line("a", "1", 7)), at=7)
    await accept_new_source(connections, "rid2")
    other = await sink.open(claim(rid="rid2"))
    other = await sink.begin(other, Beginning(position=NOWHERE, replay_mark_lsn=3))
    await apply(sink, other, page(line("a", "1", 900, item="Pen")), at=900)
    assert await accept_new_source(connections, RID)
    again = await sink.open(claim())
    assert again.stored is None
    again = await sink.begin(again, Beginning(position=NOWHERE, replay_mark_lsn=7))
    await apply(sink, again, page(line("a", "1", 7)), at=7)
    assert (await views(connections))["item_totals"] == {("Surface", 1, 1)}


async def test_opening_that_began_before_another_container_was_followed_is_refused(
    connections: Connections, sink: PostgresSink
) -> None:
    async with connections.session() as session:
        await register_source(session, RID)
    async with connections.transaction() as session:
        await lock_openings(session)
        opening = asyncio.ensure_future(sink.open(claim()))
        await waits_for_a_lock(connections)
        await session.execute("UPDATE projector.source SET container_rid = 'rid2'")
    with pytest.raises(SourceRecreated):
        await opening


async def waits_for_a_lock(connections: Connections) -> None:
    async with asyncio.timeout(60), connections.session() as session:
        while not await rows(session, "SELECT FROM pg_locks WHERE NOT granted"):
            await session.execute("SELECT pg_sleep(0.01)")
