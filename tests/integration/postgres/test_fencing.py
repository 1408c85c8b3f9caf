"""Who may commit: the newest epoch, and nobody else, whatever a stopped host still holds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import replace

import psycopg
import pytest

from projector.core.errors import FencedOut, SinkUnavailable
from projector.core.names import Epoch
from projector.core.ranges import FULL_RANGE, FeedRange
from projector.ports.feed import Beginning, Grant, RangeClaim
from projector.postgres.connections import ConnectionOptions, Connections
from projector.postgres.copying import copy_statement
from projector.postgres.generation import FIRST_GENERATION
from projector.postgres.sink import PostgresSink
from tests.contract.sink import report_of
from tests.integration.postgres.carts import (
    NOWHERE,
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
LEFT_LOW, LEFT_HIGH = FeedRange(min="", max="10"), FeedRange(min="10", max="20")


async def test_older_owner_commits_nothing(connections: Connections, sink: PostgresSink) -> None:
    old = await begun(sink)
    await sink.open(claim(owner="host-b"))
    with pytest.raises(FencedOut):
        await apply(sink, old, page(line("a", "1", 1)))
    with pytest.raises(FencedOut):
        await apply(sink, old)
    with pytest.raises(FencedOut):
        await sink.begin(old, Beginning(position=NOWHERE))
    assert (await views(connections))["cart_items"] == set()


@pytest.mark.parametrize(
    "other",
    [
        claim("1", LEFT),
        claim("-20", LEFT),
        claim("0", FULL_RANGE, processor="another"),
        claim("7", FULL_RANGE, processor="another"),
    ],
    ids=["child", "key range", "other processor", "other processor's token"],
)
async def test_any_overlapping_range_fences_out(sink: PostgresSink, other: RangeClaim) -> None:
    old = await begun(sink)
    await sink.open(other)
    with pytest.raises(FencedOut):
        await apply(sink, old, page(line("a", "1", 1)))


async def test_host_that_outlived_a_failover_reads_what_it_lost_again(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    """A standby promoted without the last commits knows the epoch, but at an earlier place."""
    await apply(sink, grant, page(line("a", "1", 7)), at=7)
    async with connections.session() as session:
        before = await rows(session, "SELECT continuation, lsn FROM projector.ranges")
    await apply(sink, grant, page(line("a", "2", 8)), at=8)
    async with connections.session() as session:
        await session.execute("UPDATE projector.ranges SET continuation = %s, lsn = %s", before[0])
    for pages in ((), (page(line("a", "3", 9)),)):
        with pytest.raises(FencedOut):
            await apply(sink, grant, *pages, at=9)
    assert (await sink.open(claim())).stored == position(7)


async def test_host_of_a_lost_history_is_not_taken_for_the_owner_in_the_new_one(
    connections: Connections, sink: PostgresSink
) -> None:
    """A standby knows nothing of a range that was just opened, and gives its numbers to another."""
    async with connections.session() as session:
        before = await rows(session, "SELECT last_value FROM projector.epochs")
    lost = await begun(sink, token="1", keys=LEFT)
    async with connections.session() as session:
        await session.execute("TRUNCATE projector.ranges RESTART IDENTITY CASCADE")
        await session.execute("SELECT setval('projector.epochs', %s)", before[0])
    owner = await begun(sink, token="2", keys=RIGHT)
    assert owner.range_id == lost.range_id
    reports = [report_of(lost), report_of(owner)]
    assert await sink.report(reports) == {lost.claim.lease_token}
    with pytest.raises(FencedOut):
        await apply(sink, lost, page(line("a", "1", 1)))
    assert (await apply(sink, owner, page(line("b", "1", 1)))).upserted == 1


async def test_batch_whose_answer_was_lost_is_applied_again(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    await apply(sink, grant, page(line("a", "1", 7)), at=7)
    await apply(PostgresSink(connections), replace(grant, stored=position(7)), at=8)
    assert (await apply(sink, grant, page(line("a", "2", 8)), at=8)).upserted == 1


async def test_host_that_is_stopped_while_it_copies_blocks_nobody(database_url: str) -> None:
    """The server's own timeouts are deaf while it waits for the rows of a COPY."""
    options = ConnectionOptions(url=database_url, connections=2, lease_expiration_seconds=4)
    async with Connections(options) as theirs, Connections(options) as ours:
        old = await begun(PostgresSink(theirs))
        with pytest.raises(SinkUnavailable, match="terminating connection"):
            await stopped_in_copy(theirs, until=opened_at_last(PostgresSink(ours)))
        with pytest.raises(FencedOut):
            await apply(PostgresSink(theirs), old, page(line("a", "1", 1)))


async def stopped_in_copy(connections: Connections, *, until: Awaitable[object]) -> None:
    async with connections.transaction(seconds=60) as session:
        await session.execute("SELECT FROM projector.ranges FOR UPDATE")
        async with session.cursor().copy(copy_statement(FIRST_GENERATION)) as copy:
            await until
            await copy.write(b"late")


async def opened_at_last(sink: PostgresSink) -> Epoch:
    async with asyncio.timeout(60):
        while True:
            with suppress(SinkUnavailable):
                return (await sink.open(claim(owner="host-b"))).epoch


async def test_batches_of_an_older_lineage_are_refused(sink: PostgresSink) -> None:
    old = await begun(sink)
    await sink.begin(old, Beginning(position=NOWHERE, raise_lineage=True))
    with pytest.raises(FencedOut):
        await apply(sink, old, page(line("a", "1", 1)))


async def test_children_take_over_place_lineage_and_replay(sink: PostgresSink) -> None:
    parent = await sink.begin(
        await sink.open(claim()),
        Beginning(position=NOWHERE, replay_mark_lsn=50, raise_lineage=True),
    )
    await apply(sink, parent, page(line("a", "1", 7)), at=7)
    for token, keys in (("1", LEFT), ("2", RIGHT)):
        child = await sink.open(claim(token, keys))
        assert child.stored == position(7)
        assert child.lineage == parent.lineage
        assert (child.replay_open, child.replay_mark_lsn) == (True, 50)
    grandchild = await sink.open(claim("5", LEFT_HIGH))
    assert (grandchild.stored, grandchild.replay_open) == (position(7), True)


async def test_key_range_goes_on_from_the_physical_range_it_replaces(sink: PostgresSink) -> None:
    physical = await begun(sink, token="1", keys=LEFT)
    await apply(sink, physical, at=7)
    by_keys = await sink.open(claim("-20", LEFT))
    assert (by_keys.stored, by_keys.retired) == (position(7), False)
    assert (await sink.open(claim("1", LEFT))).retired


async def test_key_range_may_come_again_after_another_token(sink: PostgresSink) -> None:
    await begun(sink, token="-20", keys=LEFT)
    physical = await sink.open(claim("4", LEFT))
    await apply(sink, physical, at=12)
    again = await sink.open(claim("-20", LEFT))
    assert (again.stored, again.retired) == (position(12), False)


async def test_second_processor_and_back_never_ends_in_a_dead_end(sink: PostgresSink) -> None:
    await begun(sink, token="-20", keys=LEFT)
    await begun(sink, token="20-FF", keys=RIGHT)
    for _ in range(2):
        other = await sink.open(claim("3", processor="another"))
        assert not other.retired
        other = await sink.begin(other, Beginning(position=position(5)))
        back = await sink.open(claim("-20", LEFT))
        assert (back.retired, back.stored) == (False, position(5))
        assert not (await sink.open(claim("20-FF", RIGHT))).retired


async def stopped_inside(url: str, grant: Grant) -> psycopg.AsyncConnection:
    """A host that holds the range's row in an open transaction and does nothing more."""
    held = await psycopg.AsyncConnection.connect(url)
    await held.execute("SET idle_in_transaction_session_timeout = '1s'")
    await held.commit()
    await held.execute(
        "UPDATE projector.ranges SET tick = tick WHERE id = %s AND epoch = %s",
        [grant.range_id, grant.epoch],
    )
    return held


@pytest.mark.slow
async def test_open_transaction_of_a_stopped_host_is_ended(
    database_url: str, sink: PostgresSink, grant: Grant
) -> None:
    held = await stopped_inside(database_url, grant)
    next_owner = await sink.open(claim(owner="host-b"))  # waits until the server ends the other one
    assert next_owner.epoch > grant.epoch
    with pytest.raises(psycopg.Error, match=r"idle-in-transaction|closed"):
        await held.commit()
    await held.close()
    assert (await apply(sink, next_owner, page(line("a", "1", 1)))).upserted == 1


async def test_a_held_row_delays_only_those_who_want_its_keys(
    database_url: str, sink: PostgresSink
) -> None:
    grant = await begun(sink, token="1", keys=LEFT)
    held = await stopped_inside(database_url, grant)
    async with asyncio.TaskGroup() as group:
        wanted = group.create_task(sink.open(claim("1", LEFT, owner="host-b")))
        await until_waiting(database_url)
        other = await asyncio.wait_for(sink.open(claim("2", RIGHT)), timeout=60)
        assert not other.retired
        assert not wanted.done()
        await held.rollback()
    await held.close()


async def until_waiting(url: str) -> None:
    async with (
        asyncio.timeout(60),
        await psycopg.AsyncConnection.connect(url, autocommit=True) as watcher,
    ):
        waiting = 0
        while not waiting:
            cursor = await watcher.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            row = await cursor.fetchone()
            assert row is not None
            waiting = row[0]
            await asyncio.sleep(0.01)


async def test_sessions_bear_timeouts_below_the_lease_expiration(database_url: str) -> None:
    options = ConnectionOptions(url=database_url, lease_expiration_seconds=60)
    async with Connections(options) as connections, connections.session() as session:
        found = dict(
            await rows(
                session,
                "SELECT name, setting::int / 1000 FROM pg_settings WHERE name IN"
                " ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout')",
            )
        )
        assert await rows(session, "SHOW timezone") == [("UTC",)]
    assert len(found) == 3
    assert all(0 < seconds < 60 for seconds in found.values())


async def test_ranges_opened_at_once_never_overlap(
    connections: Connections, sink: PostgresSink
) -> None:
    """New ranges have no row yet that could be locked: only the one lock keeps them apart."""
    keys = [FULL_RANGE, LEFT, RIGHT, LEFT_LOW, LEFT_HIGH, FULL_RANGE]
    for number in range(6):
        wanted = [claim(f"{number}{n}", one) for n, one in enumerate(keys)]
        await asyncio.gather(*(sink.open(one) for one in wanted))
        async with connections.session() as session:
            overlaps = await rows(
                session,
                "SELECT a.lease_token, b.lease_token FROM projector.ranges a, projector.ranges b"
                " WHERE a.id < b.id AND a.retired_at IS NULL AND b.retired_at IS NULL"
                " AND a.min_epk < b.max_epk AND b.min_epk < a.max_epk",
            )
        assert overlaps == []


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


@pytest.mark.slow
async def test_concurrent_owners_never_both_commit(
    connections: Connections, sink: PostgresSink
) -> None:
    """Many openings and batches at once: each committed batch was of the newest epoch."""
    await begun(sink)

    async def host(name: str) -> int:
        committed = 0
        for number in range(8):
            try:
                grant = await sink.open(claim(owner=name))
                for step in range(3):
                    await apply(sink, grant, page(line(name, str(step), number + 1)))
                    committed += 1
            except FencedOut:
                continue
        return committed

    counts = await asyncio.gather(*(host(f"host-{n}") for n in range(4)))
    assert sum(counts) > 0
    async with connections.session() as session:
        assert await rows(
            session, "SELECT count(*) FROM projector.ranges WHERE retired_at IS NULL"
        ) == [(1,)]
