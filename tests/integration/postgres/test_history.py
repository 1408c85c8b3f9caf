"""What happened, and what the rows were at a time: the log is exact, whoever wrote and however often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import psycopg
import pytest

from projector.core.errors import ConfigurationError
from projector.ports.feed import Beginning, Grant
from projector.ports.rows import DocumentKey, Verdict
from projector.postgres.connections import Connections
from projector.postgres.recording import Recording, RecordingOptions
from projector.postgres.sink import PostgresSink
from projector.projection.writes import RowWrite
from tests.integration.postgres.carts import (
    NOWHERE,
    VIEWS,
    Shop,
    apply,
    begun,
    line,
    page,
    rejection,
    tombstone,
    views,
)

EVENTS = """
SELECT id, kind, old_quantity, new_quantity FROM carts.cart_events ORDER BY projected_at, id"""
NOW = "SELECT clock_timestamp()"
COMPLETE = """
INSERT INTO projector.range_reports (lease_token, min_epk, max_epk, range_id, epoch, owner, state,
  state_since, reported_at, complete_at)
SELECT lease_token, min_epk, max_epk, id, epoch, owner, 'reading', now(), now(), now()
FROM projector.ranges ON CONFLICT (lease_token) DO UPDATE SET complete_at = now()"""

# The past is made by hand: everything happened that much earlier.
EARLIER = (
    "UPDATE projector.cart_events SET projected_at = projected_at - %(by)s",
    """UPDATE projector.history SET began_at = began_at - %(by)s, known_from = known_from - %(by)s,
       ended_at = ended_at - %(by)s""",
)


@pytest.fixture
def recording(connections: Connections) -> Recording:
    return Recording(connections, RecordingOptions())


@pytest.fixture
async def grant(connections: Connections, sink: PostgresSink, recording: Recording) -> Grant:
    """A range whose history has begun."""
    grant = await begun(sink)
    await execute(connections, COMPLETE)
    assert await recording.begin()
    return grant


async def execute(connections: Connections, *statements: str, **given: Any) -> None:
    async with connections.session() as session:
        for statement in statements:
            await session.execute(statement.encode(), given or None)


async def ask(connections: Connections, query: str, *given: Any) -> list[tuple[Any, ...]]:
    async with connections.session() as session:
        return await (await session.execute(query.encode(), given or None)).fetchall()


async def now(connections: Connections) -> Any:
    return (await ask(connections, NOW))[0][0]


async def kinds(connections: Connections) -> list[tuple[str, str]]:
    return [row[:2] for row in await ask(connections, EVENTS)]


async def as_of(connections: Connections, at: object) -> Mapping[str, set[tuple[Any, ...]]]:
    """What each view said at that time."""
    found = {}
    for name, text in VIEWS.items():
        query = text.replace(f"carts.{name}", f"carts.{name}_as_of(%s)")
        found[name] = set(await ask(connections, query, at))
    return found


async def test_each_event_says_what_was_and_what_is(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    await apply(sink, grant, page(line("a", "1", 1, quantity="2", price="1.50", currency="EUR")))
    await apply(sink, grant, page(line("a", "1", 2, quantity="3", item="Pen")))
    await apply(sink, grant, page(tombstone("a", "1", 3)))
    await apply(sink, grant, page(line("a", "1", 4)))
    assert await ask(connections, EVENTS) == [
        ("1", "added", None, 2),
        ("1", "changed", 2, 3),
        ("1", "removed_by_marker", 3, None),
        ("1", "revived", None, 1),
    ]
    assert await ask(
        connections,
        "SELECT old_item, new_item, old_amount, new_amount, old_currency, old_extra,"
        " extract(epoch FROM source_time)::bigint, may_be_folded"
        " FROM carts.cart_events WHERE kind = 'changed'",
    ) == [("Surface", "Pen", 3, None, "EUR", {}, 1_790_000_002, True)]


async def test_what_removed_a_row_is_told(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    lines = [line("a", str(number), 1, price="2") for number in range(1, 6)]
    await apply(sink, grant, page(*lines))
    at = await now(connections)
    await apply(sink, grant, page(tombstone("a", "1", 3), rejections=[rejection("a", "1", 3)]))
    gone = {
        id_: Verdict(key=DocumentKey(partition_key='"a"', id=id_), lsn=9, write=absent(id_))
        for id_ in ("2", "3", "4")
    }
    mark = await sink.verdicts.mark(grant)
    await sink.verdicts.apply_verdicts(grant, mark=mark, verdicts=[gone["2"]])
    await sink.verdicts.apply_repairs(grant, mark, [gone["3"]])
    bad = replace(gone["4"], rejection=rejection("a", "4", 9), write=tombstone("a", "4", 9))
    await sink.verdicts.apply_repairs(grant, mark, [bad])
    await execute(connections, "DELETE FROM projector_g1.cart_items WHERE id = '5'")
    assert await kinds(connections) == [
        *((one.id, "added") for one in lines),
        ("1", "removed_by_rejection"),
        ("2", "removed_by_sweep"),
        ("3", "removed_by_repair"),
        ("4", "removed_by_rejection"),
        ("5", "removed_by_hand"),
    ]
    untold = (
        "SELECT id FROM carts.cart_events WHERE source_time IS NULL AND may_be_folded ORDER BY id"
    )
    assert await ask(connections, untold) == [("2",), ("3",), ("5",)]
    assert len((await as_of(connections, at))["cart_items"]) == 5


def absent(id_: str) -> RowWrite:
    return msgspec.structs.replace(tombstone("a", id_, 9), ts=0, etag="")


async def test_what_changes_nothing_is_no_event(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    """A replay, also one in a new lineage, which writes every row anew."""
    first = page(*(line("a", str(number), number, extra='{"n":1}') for number in range(1, 9)))
    await apply(sink, grant, first, page(tombstone("a", "9", 9)))
    before = await ask(connections, EVENTS)
    assert len(before) == 8
    await apply(sink, grant, first, page(tombstone("a", "9", 9)))
    again = Beginning(position=NOWHERE, replay_mark_lsn=9, raise_lineage=True)
    grant = await sink.begin(grant, again)
    await apply(sink, grant, first)
    assert await ask(connections, EVENTS) == before


@pytest.mark.parametrize("seed", range(6))
async def test_the_rows_of_any_time_are_those_of_now_with_later_events_undone(
    connections: Connections, recording: Recording, returning_old: bool | None, seed: int
) -> None:
    """Whichever way rows are written: at once, by COPY, the longer way, by verdicts, or by hand."""
    shop = Shop(seed)
    sink = PostgresSink(connections, returning_old=returning_old, bulk=2)
    grant = await begun(sink)
    await apply(sink, grant, page(*(shop.write(5) for _ in range(8))))
    await execute(connections, COMPLETE)
    assert await recording.begin()
    truth = []
    for number in range(25):
        truth.append((await now(connections), await views(connections)))
        await something(connections, sink, grant, shop, number)
    for at, found in truth:
        assert await as_of(connections, at) == found
    assert await as_of(connections, await now(connections)) == await views(connections)


async def something(
    connections: Connections, sink: PostgresSink, grant: Grant, shop: Shop, number: int
) -> None:
    writes = [shop.write(10 + number) for _ in range(6)]
    match shop.draw.randrange(6):
        case 0:
            fresh = [line(f"new {number}", str(one), number + 1) for one in range(4)]
            await apply(sink, grant, page(*fresh))
            await apply(
                sink,
                grant,
                page(*(msgspec.structs.replace(one, key=f"n {number}") for one in fresh)),
            )
        case 1:
            one = writes[0]
            bad = rejection(one.key, one.id, 11 + number)
            await apply(
                sink, grant, page(tombstone(one.key, one.id, 11 + number), rejections=[bad])
            )
        case 2 | 3:
            keys = {(one.key, one.id): one for one in writes}.values()
            verdicts = [
                Verdict(
                    key=DocumentKey(partition_key=f'"{one.key}"', id=one.id), lsn=one.lsn, write=one
                )
                for one in keys
            ]
            mark = await sink.verdicts.mark(grant)
            await sink.verdicts.apply_repairs(grant, mark, verdicts)
        case 4:
            await execute(connections, "DELETE FROM projector_g1.cart_items WHERE deleted")
        case _:
            await apply(sink, grant, page(*writes))


async def test_history_begins_when_the_copy_is_complete(
    connections: Connections, sink: PostgresSink, recording: Recording
) -> None:
    """The first load is one number, and no time of before it is answered."""
    assert not await recording.begin()
    grant = await begun(sink, mark=3)
    await apply(sink, grant, page(*(line("a", str(number), 1) for number in range(1, 4))))
    await execute(connections, COMPLETE)
    before = await now(connections)
    assert not await recording.begin()
    await sink.verdicts.finish_replay(grant)
    await execute(connections, COMPLETE)
    assert (await recording.keep())["found"] == 3
    assert await ask(connections, EVENTS) == []
    ((began, known_from, ended, found),) = await ask(connections, "SELECT * FROM carts.history")
    assert (known_from, ended, found) == (began, None, 3)
    await refused(connections, before, "the first time that is known is")
    await refused(connections, began - timedelta(microseconds=1), "the first time that is known is")
    await refused(connections, began + timedelta(days=1), "has not come yet")
    await refused(connections, None, "the first time that is known is")
    assert len((await as_of(connections, began))["cart_items"]) == 3
    assert not await recording.begin()


async def refused(connections: Connections, at: object, why: str) -> None:
    for name in ("cart_items", "cart_totals", "cart_amounts", "item_totals"):
        async with connections.session() as session:
            with pytest.raises(psycopg.errors.InvalidParameterValue, match=why):
                await session.execute(f"SELECT * FROM carts.{name}_as_of(%s::timestamptz)", [at])


async def test_between_off_and_on_nothing_is_known(
    connections: Connections, sink: PostgresSink, grant: Grant, recording: Recording
) -> None:
    await apply(sink, grant, page(line("a", "1", 1)))
    on = await now(connections)
    await Recording(connections, RecordingOptions(on=False)).configure()
    await apply(sink, grant, page(line("a", "2", 2)))
    assert await kinds(connections) == [("1", "added")]
    await refused(connections, on, "is switched off")
    await recording.begin()  # another host, whose settings are of before
    await refused(connections, on, "is switched off")
    await recording.configure()
    assert await recording.begin()
    await refused(connections, on, "the first time that is known is")
    await apply(sink, grant, page(line("a", "3", 3)))
    assert await kinds(connections) == [("1", "added"), ("3", "added")]
    spans = await ask(connections, "SELECT ended_at FROM carts.history ORDER BY began_at")
    assert [ended is None for (ended,) in spans] == [False, True]


async def test_a_month_that_is_missing_stops_nothing(
    connections: Connections, sink: PostgresSink, grant: Grant, recording: Recording
) -> None:
    months = """SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                WHERE i.inhparent = 'projector.cart_events'::regclass ORDER BY 1"""
    made = [name for (name,) in await ask(connections, months)]
    assert len(made) == 4
    await execute(connections, *(f"DROP TABLE projector.{name}" for name in made[:3]))
    at = await now(connections)
    await apply(sink, grant, page(line("a", "1", 1)))
    await apply(sink, grant, page(line("a", "1", 2, quantity="2")))
    before = await ask(connections, EVENTS)
    assert len((await recording.keep())["months"]) == 3
    assert [name for (name,) in await ask(connections, months)] == made
    assert await ask(connections, "SELECT * FROM projector.cart_events_other") == []
    await apply(sink, grant, page(line("a", "1", 3, quantity="3")))
    assert (await ask(connections, EVENTS))[:2] == before
    assert (await as_of(connections, at))["cart_items"] == set()
    indexes = "SELECT indexdef ~ 'UNIQUE' FROM pg_indexes WHERE tablename = %s"
    assert len(await ask(connections, indexes, made[0])) == 2


async def test_old_months_go_and_the_first_known_time_goes_with_them(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    await apply(sink, grant, page(line("a", "1", 1)))
    await execute(connections, *EARLIER, by=timedelta(days=100))
    kept = Recording(connections, RecordingOptions(keep_months=2))
    assert (await Recording(connections, RecordingOptions(keep_months=0)).keep())["months"]
    long_ago = await now(connections) - timedelta(days=95)
    assert len((await as_of(connections, long_ago))["cart_items"]) == 1
    await apply(sink, grant, page(line("a", "1", 2, quantity="2")))
    assert len((await kept.keep())["forgotten"]) == 1
    assert await kinds(connections) == [("1", "changed")]
    await refused(connections, long_ago, "the first time that is known is")
    ((known_from,),) = await ask(connections, "SELECT known_from FROM carts.history")
    assert (await as_of(connections, known_from))["cart_totals"] == {
        ("a", 1, 1, None, None, 1_790_000_001, 1_790_000_001)
    }


async def test_who_asks_for_one_cart_reads_one_cart(
    connections: Connections, sink: PostgresSink, grant: Grant, database_url: str
) -> None:
    """By the role that reads, with plans as the server makes them."""
    at = await now(connections)
    for number in range(4):
        some = (line(f"cart {one}", "1", number + 1, quantity=str(number)) for one in range(3000))
        await apply(sink, grant, page(*some))
    await execute(connections, "ANALYZE")
    async with await psycopg.AsyncConnection.connect(database_url) as reader:
        await reader.execute("SET ROLE carts_reader")
        this_month = f"cart_events_{at:%Y_%m}"
        for name in ("cart_items", "cart_totals", "cart_amounts"):
            query = f"SELECT * FROM carts.{name}_as_of(%s) WHERE cart_id = 'cart 5'"
            plan = await (await reader.execute("EXPLAIN " + query, [at])).fetchall()
            scans = [row[0] for row in plan if "Seq Scan" in row[0]]
            assert not [scan for scan in scans if "cart_items" in scan or this_month in scan], plan
            assert await (await reader.execute(query, [at])).fetchall() == []


async def test_a_time_zone_that_is_none_is_refused(connections: Connections) -> None:
    with pytest.raises(ConfigurationError, match="no time zone 'Mars/Olympus'"):
        await Recording(connections, RecordingOptions(time_zone="Mars/Olympus")).configure()
