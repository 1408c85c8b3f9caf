"""The batch statement against a model that recounts: any history, any cut, any order, both ways."""

from __future__ import annotations

import pytest

from projector.ports.feed import Beginning, Grant
from projector.postgres.connections import Connections
from projector.postgres.sink import PostgresSink
from tests.integration.postgres.carts import (
    Model,
    Shop,
    apply,
    begun,
    line,
    page,
    position,
    tombstone,
    views,
)


@pytest.mark.parametrize("replaying", [False, True], ids=["live", "replaying"])
@pytest.mark.parametrize("seed", range(6))
async def test_any_history_equals_a_recount(
    connections: Connections, returning_old: bool | None, seed: int, replaying: bool
) -> None:
    sink = PostgresSink(connections, returning_old=returning_old)
    shop, model = Shop(seed), Model()
    grant = await begun(sink, mark=1000 if replaying else None)
    for _ in range(25):
        pages = [
            page(*(shop.write(40) for _ in range(shop.draw.randint(0, 12))))
            for _ in range(shop.draw.randint(1, 3))
        ]
        await apply(sink, grant, *pages)
        model.apply((write for one in pages for write in one.writes), lineage=grant.lineage)
        if shop.draw.random() < 0.1:
            grant = await sink.begin(grant, Beginning(position=position(1), raise_lineage=True))
        if shop.draw.random() < 0.3:
            assert await views(connections) == model.views()
    assert await views(connections) == model.views()


async def test_a_batch_again_changes_nothing_and_says_so(
    connections: Connections, returning_old: bool | None
) -> None:
    sink = PostgresSink(connections, returning_old=returning_old)
    grant = await begun(sink)
    writes = [line("a", "1", 5), line("a", "2", 6, item="Pen"), tombstone("a", "3", 7)]
    first = await apply(sink, grant, page(*writes))
    before = await views(connections)
    second = await apply(sink, grant, page(*writes))
    third = await apply(sink, grant, page(*writes))
    assert (first.upserted, first.removed, first.unchanged) == (2, 0, 1)
    assert (second.upserted, second.removed, second.unchanged) == (0, 0, 3)
    assert (third.upserted, third.removed, third.unchanged) == (0, 0, 3)
    assert await views(connections) == before


async def test_higher_version_with_the_same_etag_is_unchanged(
    connections: Connections, returning_old: bool | None
) -> None:
    sink = PostgresSink(connections, returning_old=returning_old)
    grant = await begun(sink)
    await apply(sink, grant, page(line("a", "1", 5, etag='"e"')))
    grant = await sink.begin(grant, Beginning(position=position(1), raise_lineage=True))
    again = await apply(sink, grant, page(line("a", "1", 3, etag='"e"')))
    assert (again.upserted, again.unchanged) == (0, 1)
    older = await apply(sink, grant, page(line("a", "1", 2, etag='"f"', quantity="9")))
    assert (older.upserted, older.unchanged) == (0, 1)


async def test_documents_without_etag_count_as_changed(
    connections: Connections, returning_old: bool | None
) -> None:
    sink = PostgresSink(connections, returning_old=returning_old)
    grant = await begun(sink)
    await apply(sink, grant, page(line("a", "1", 5, etag="")))
    done = await apply(sink, grant, page(line("a", "1", 6, etag="", quantity="2")))
    assert done.upserted == 1


async def test_tombstone_that_comes_first_keeps_an_older_version_out(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    await apply(sink, grant, page(tombstone("a", "1", 9)))
    done = await apply(sink, grant, page(line("a", "1", 8)))
    assert done.upserted == 0
    assert (await views(connections))["cart_items"] == set()
    undeleted = await apply(sink, grant, page(line("a", "1", 10)))
    assert undeleted.upserted == 1


async def test_mixed_currencies_have_no_total_amount(
    connections: Connections, sink: PostgresSink, grant: Grant
) -> None:
    await apply(
        sink,
        grant,
        page(
            line("mixed", "1", 1, price="2", currency="EUR"),
            line("mixed", "2", 2, price="3", currency="USD"),
            line("none", "1", 3, price="2"),
            line("none", "2", 4, price="3", currency="USD"),
            line("unknown", "1", 5, price="2"),
            line("one", "1", 6, price="2", currency="EUR"),
            line("one", "2", 7),
        ),
    )
    totals = {row[0]: row[3:5] for row in (await views(connections))["cart_totals"]}
    assert totals == {
        "mixed": (None, None),
        "none": (None, None),
        "unknown": (2, None),
        "one": (2, "EUR"),
    }


@pytest.mark.parametrize(
    "text",
    ["tab\tnew\nline", 'quote " back \\ slash', "\\n", "\x01\x1f", "{},NULL", "null", "é☃😀", " "],
    ids=repr,
)
async def test_any_text_arrives_as_it_is(connections: Connections, text: str) -> None:
    sink = PostgresSink(connections)
    grant = await begun(sink)
    written = line("c" + text, "i" + text, 1, item="x" + text, etag=text)
    await apply(sink, grant, page(written, line("other", "1", 2)))
    async with connections.session() as session:
        cursor = await session.execute(
            "SELECT cart_id, id, item, etag FROM projector_g1.cart_items WHERE lsn = 1"
        )
        assert await cursor.fetchone() == (written.key, written.id, "x" + text, text)


async def test_bulk_of_new_rows_that_meets_an_old_one(
    connections: Connections, returning_old: bool | None
) -> None:
    """Rows believed to be new are inserted without looking; a mistake costs time, not rows."""
    sink, model = PostgresSink(connections, returning_old=returning_old), Model()
    grant = await begun(sink)
    for first in (0, 250, 500, 700, 950):
        writes = [
            line(f"cart {n % 40}", f"{n:04}", n + 1, quantity=str(n))
            for n in range(first, first + 250)
        ]
        done = await apply(sink, grant, page(*writes), at=first)
        model.apply(writes)
        assert done.upserted == (200 if first == 700 else 250)
    assert await views(connections) == model.views()
    stale = [line("cart 1", "0001", 1), line("cart 2", "0002", 9999, item="Pen")]
    model.apply(stale)
    assert (await apply(sink, grant, page(*stale))).upserted == 1
    assert await views(connections) == model.views()


async def test_mostly_unchanged_batches_still_write_what_is_new(
    connections: Connections, returning_old: bool | None
) -> None:
    sink, model = PostgresSink(connections, returning_old=returning_old), Model()
    grant = await begun(sink, mark=99)
    writes = [line("a", str(n), n + 1) for n in range(9)]
    for _ in range(3):
        await apply(sink, grant, page(*writes))
    model.apply(writes)
    changed = [*writes[:5], line("a", "7", 50, item="Pen"), tombstone("a", "8", 51)]
    done = await apply(sink, grant, page(*changed), page(line("b", "1", 52)))
    assert (done.upserted, done.removed, done.unchanged) == (2, 1, 5)
    model.apply([*changed, line("b", "1", 52)])
    assert await views(connections) == model.views()
    assert await sink.verdicts.sweep_candidates(grant, after=None, limit=99) == []
