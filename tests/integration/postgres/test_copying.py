"""The cheaper ways of a batch: each gives what the batch statement gives, or nothing at all."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import msgspec
import pytest

from projector.core.errors import FencedOut
from projector.core.ranges import FULL_RANGE, FeedRange
from projector.ports.feed import Applied, Grant
from projector.postgres.connections import Connections
from projector.postgres.copying import PIECE, pieces
from projector.postgres.portions import BatchFacts, Outcome
from projector.postgres.sink import PostgresSink
from projector.projection.writes import ProjectedPage, RowWrite
from tests.integration.postgres.carts import (
    Model,
    Shop,
    TellingSink,
    apply,
    begun,
    claim,
    line,
    page,
    rejection,
    tombstone,
    views,
)

ROWS = "projector_g1"
NULL_MARK = "\x01"
EVERY_ROW = f"SELECT * FROM {ROWS}.cart_items ORDER BY cart_id, id"


class Way(StrEnum):
    """What the batch before was like, so what this one is guessed to be."""

    USUAL = "usual"
    NEW = "new"
    UNCHANGED = "unchanged"


LESSONS = {
    Way.NEW: BatchFacts(writes=1, inserted=1, changed=1, has_entries=False, met_rows=False),
    Way.UNCHANGED: BatchFacts(writes=1, inserted=0, changed=0, has_entries=False, met_rows=False),
}


@pytest.fixture(params=[Way.NEW, Way.UNCHANGED])
def way(request: pytest.FixtureRequest) -> Way:
    """The cheaper ways."""
    chosen: Way = request.param
    return chosen


async def write(
    connections: Connections,
    grant: Grant,
    one: ProjectedPage,
    way: Way,
    *,
    returning_old: bool | None = None,
) -> Outcome:
    """Apply a page by that way, however small the page."""
    writer = TellingSink(connections, returning_old=returning_old, bulk=1)
    if way in LESSONS:
        writer._hints.learn(grant.range_id, grant.epoch, LESSONS[way])
    await apply(writer, grant, one)
    return writer.done


async def found(connections: Connections, query: str) -> Sequence[Any]:
    async with connections.session() as session:
        return await (await session.execute(query.encode())).fetchall()


@pytest.mark.parametrize("replaying", [False, True], ids=["live", "replaying"])
@pytest.mark.parametrize("seed", range(4))
async def test_any_history_by_any_way_equals_a_recount(
    connections: Connections, returning_old: bool | None, seed: int, replaying: bool
) -> None:
    sink = PostgresSink(connections)
    shop, model = Shop(seed, carts=9, documents=9), Model()
    grant = await begun(sink, mark=1000 if replaying else None)
    for _ in range(25):
        one = page(*(shop.write(40) for _ in range(shop.draw.choice([1, 1, 2, 12]))))
        hint = shop.draw.choice(list(Way))
        await write(connections, grant, one, hint, returning_old=returning_old)
        model.apply(one.writes, lineage=grant.lineage)
        if shop.draw.random() < 0.3:
            assert await views(connections) == model.views()
    assert await views(connections) == model.views()


async def test_a_sink_that_learns_equals_a_recount(connections: Connections) -> None:
    sink = PostgresSink(connections, bulk=1)
    shop, model = Shop(5, carts=40, documents=9), Model()
    grant = await begun(sink, mark=1000)
    for _ in range(40):
        one = page(*(shop.write(20) for _ in range(shop.draw.choice([1, 1, 2, 9]))))
        for _ in range(shop.draw.choice([1, 1, 3])):
            await apply(sink, grant, one)
        model.apply(one.writes)
    assert await views(connections) == model.views()


async def test_copied_rows_are_those_of_the_statement_and_told_alike(
    connections: Connections,
) -> None:
    sink = PostgresSink(connections)
    grant = await begun(sink)
    shop = Shop(3, carts=30, documents=6)
    writes = {(w.key, w.id): w for w in (shop.write(9) for _ in range(150))}.values()
    copied = await write(connections, grant, page(*writes), Way.NEW)
    rows, totals = await found(connections, EVERY_ROW), await views(connections)
    await empty_tables(connections)
    stated = await write(connections, grant, page(*writes), Way.USUAL)
    assert copied == stated
    assert copied.inserted == len(writes)
    # The tick of a tombstone tells the commits apart; nothing else does.
    assert [row[:14] for row in await found(connections, EVERY_ROW)] == [row[:14] for row in rows]
    assert await views(connections) == totals


async def empty_tables(connections: Connections) -> None:
    async with connections.session() as session:
        for table in ("cart_items", "cart_totals", "item_totals"):
            await session.execute(f"TRUNCATE {ROWS}.{table}")
    assert await found(connections, EVERY_ROW) == []


@pytest.mark.parametrize(
    "text",
    [
        "back\\slash",
        "\\N",
        "\\.",
        "tab\tin it",
        "two\nlines",
        "carriage\rreturn",
        NULL_MARK,
        "\x01\x02",
        "quote\"'",
        "Köder 🎣",
    ],
)
async def test_any_text_survives_the_copy(connections: Connections, text: str) -> None:
    sink = PostgresSink(connections)
    grant = await begun(sink)
    extra = '{"n":[1,null]}' if text == NULL_MARK else '{"note":"a\\n\\"b\\\\", "n":\n[1,\tnull]}'
    good = line(f"c{text}", f"i{text}", 1, item=text, etag=text, extra=extra)
    model = Model()
    model.apply([good, line("a", "1", 2, price="2.50")])
    done = await write(connections, grant, page(good, line("a", "1", 2, price="2.50")), Way.NEW)
    assert done.inserted == 2
    assert done.met_rows == (text == NULL_MARK)  # refused by its columns, then sent the usual way
    assert await views(connections) == model.views()
    (row,) = await found(
        connections, f"SELECT etag, extra FROM {ROWS}.cart_items WHERE cart_id <> 'a'"
    )
    assert row == (text, msgspec.json.decode(extra))


async def test_keys_that_are_there_already_decide_by_version(
    connections: Connections, way: Way
) -> None:
    sink = PostgresSink(connections)
    grant = await begun(sink)
    await apply(sink, grant, page(line("a", "1", 5, quantity="5"), line("a", "2", 5)))
    later = page(line("a", "1", 4, quantity="4"), tombstone("a", "2", 6), line("b", "1", 7))
    done = await write(connections, grant, later, way)
    assert (done.upserted, done.removed, done.inserted) == (1, 1, 1)
    model = Model()
    model.apply([line("a", "1", 5, quantity="5"), line("b", "1", 7)])
    assert await views(connections) == model.views()


async def test_nobody_writes_under_an_older_epoch(connections: Connections, way: Way) -> None:
    sink = PostgresSink(connections)
    old = await begun(sink)
    await begun(sink, owner="host-b")
    with pytest.raises(FencedOut):
        await write(connections, old, page(line("a", "1", 1)), way)
    assert await found(connections, EVERY_ROW) == []
    assert await views(connections) == Model().views()


async def test_an_entry_heals_whatever_way_is_expected(connections: Connections, way: Way) -> None:
    sink = PostgresSink(connections)
    grant = await begun(sink)
    await apply(sink, grant, page(tombstone("a", "1", 3), rejections=[rejection("a", "1", 3)]))
    done = await write(connections, grant, page(line("a", "1", 4), line("b", "1", 5)), way)
    assert (done.healed, done.upserted) == (1, 2)
    states = await found(connections, "SELECT status FROM projector.quarantine")
    assert states == [("closed",)]


async def test_what_the_server_refuses_is_quarantined_alone(
    connections: Connections, way: Way
) -> None:
    sink = PostgresSink(connections)
    grant = await begun(sink)
    too_long = line("a", "2", 2, item="x" * 2000)
    done = await write(connections, grant, page(line("a", "1", 1), too_long), way)
    assert (done.upserted, done.rejected) == (1, 1)
    model = Model()
    model.apply([line("a", "1", 1)])
    assert await views(connections) == model.views()


@pytest.mark.parametrize("second", [Way.USUAL, Way.UNCHANGED])
async def test_every_key_counts_as_seen_by_a_replay(connections: Connections, second: Way) -> None:
    sink = PostgresSink(connections)
    grant = await begun(sink, mark=1000)
    writes = [line("a", str(number), number) for number in range(1, 9)]
    await write(connections, grant, page(*writes[:6]), Way.NEW)
    assert len(await sink.verdicts.sweep_candidates(grant, after=None, limit=99)) == 0
    await write(connections, grant, page(*writes[4:], tombstone("b", "1", 20)), second)
    assert len(await sink.verdicts.sweep_candidates(grant, after=None, limit=99)) == 0
    hashes = await found(connections, "SELECT unnest(keys_1) FROM projector.replay_seen")
    assert len(set(hashes)) == len(writes) + 1


async def test_unchanged_rows_are_not_even_locked(connections: Connections) -> None:
    sink = PostgresSink(connections)
    grant = await begun(sink)
    writes = [line("a", str(number), number) for number in range(1, 9)]
    await write(connections, grant, page(*writes), Way.NEW)
    stamps = f"SELECT id, xmin, xmax, ctid FROM {ROWS}.cart_items ORDER BY id"
    before = await found(connections, stamps)
    newer = line("a", "8", 9, quantity="3")
    done = await write(connections, grant, page(*writes[:7], newer), Way.UNCHANGED)
    assert (done.upserted, done.inserted) == (1, 0)
    assert (await found(connections, stamps))[:7] == before[:7]


async def test_rows_written_by_others_are_not_counted(connections: Connections) -> None:
    sink = PostgresSink(connections)
    grant = await begun(sink)
    await write(connections, grant, page(line("a", "1", 1)), Way.NEW)
    totals = await found(connections, f"SELECT * FROM {ROWS}.item_totals")
    copy = f"INSERT INTO {ROWS}.cart_items SELECT (jsonb_populate_record(t, %s)).* FROM {ROWS}.cart_items t"
    async with connections.session() as session:
        await session.execute(copy, ['{"id": "by hand"}'])
    assert await found(connections, f"SELECT * FROM {ROWS}.item_totals") == totals


async def test_two_ranges_copy_at_once_without_deadlock(connections: Connections) -> None:
    middle = "1FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"
    halves = [FeedRange(min=FULL_RANGE.min, max=middle), FeedRange(min=middle, max=FULL_RANGE.max)]
    sink = PostgresSink(connections)
    grants = [await begun(sink, token=str(n), keys=half) for n, half in enumerate(halves)]
    draw, model = random.Random(1), Model()

    def drawn(name: str, count: int) -> list[RowWrite]:
        items = [draw.choice("abcdefgh") for _ in range(count)]
        return [line(f"{name}{n}", "1", 1, item=item) for n, item in enumerate(items)]

    async def copy_all(grant: Grant, pages: Sequence[ProjectedPage]) -> None:
        for one in pages:
            assert (await write(connections, grant, one, Way.NEW)).inserted

    batches = [[page(*drawn(f"{who}-{n}-", 40)) for n in range(8)] for who in "ab"]
    model.apply(one for pages in batches for batch in pages for one in batch.writes)
    async with asyncio.TaskGroup() as group:
        for grant, pages in zip(grants, batches, strict=True):
            group.create_task(copy_all(grant, pages))
    assert await views(connections) == model.views()


async def test_a_range_of_new_documents_goes_on_after_a_mistake(connections: Connections) -> None:
    sink = PostgresSink(connections, bulk=1)
    grant = await begun(sink)
    applied: list[Applied] = []
    for number in range(1, 7):
        writes = [line("a", str(number), number), line("b", "always", number)]
        applied.append(await apply(sink, grant, page(*writes)))
    assert [one.upserted for one in applied] == [2] * 6
    assert await sink.open(claim()) is not None


def test_pieces_of_a_copy_are_bounded_in_rows_and_in_bytes() -> None:
    small = [line("cart", f"doc {n}", 1) for n in range(PIECE + 1)]
    large = [line("cart", f"doc {n}", 1, extra=f'"{"x" * 60_000}"') for n in range(3)]
    assert [len(one) for one in pieces([*small, *large])] == [PIECE, 2, 1, 1]
    assert [len(one) for one in pieces(large)] == [1, 1, 1]
    assert list(pieces([])) == []
