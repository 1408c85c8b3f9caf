from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from projector.ports.points import PointRead, PointReader
from projector.reconcile.verify import Verifier
from tests.carts import CART_PROJECTION
from tests.integration.verify.support import Pair, until

PACE_SECONDS = 0.01  # all run in one thread: the others want their share
IN_THE_VIEW = "SELECT count(*) FROM carts.cart_items"


@asynccontextmanager
async def writing(pair: Pair, *, lines: int, seed: int) -> AsyncIterator[None]:
    """A shop that creates, changes, marks and deletes documents without a pause."""
    draw = random.Random(seed)

    async def shop() -> None:
        while True:
            number = draw.randrange(lines)
            cart, id_ = f"cart-{number // 5}", f"line-{number}"
            kind = draw.random()
            if kind < 0.1:
                await pair.line(cart, id_, ttl=3600)
            elif kind < 0.15:
                await pair.world.write(cart, id_, item="x", quantity="many")
            else:
                price = draw.randrange(1000) / 100
                await pair.line(cart, id_, quantity=draw.randrange(100), price=price)
            await asyncio.sleep(PACE_SECONDS)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(shop()) for _ in range(2)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def test_hosts_and_writes_beside_are_no_drift(pair: Pair) -> None:
    await pair.lines(80)
    await pair.drain()
    async with pair.host(), writing(pair, lines=100, seed=1):
        for _ in range(2):
            report = await pair.verify()
            assert report.consistent, report.examples
            assert (report.missing, report.extra, report.stale) == (0, 0, 0)
            assert report.totals_wrong == 0


async def test_a_repair_beside_hosts_and_writes_mends_what_was_planted(pair: Pair) -> None:
    await pair.lines(80)
    await pair.lines(20, cart="quiet")
    await pair.drain()
    await pair.sql("DELETE FROM projector_g1.cart_items WHERE starts_with(cart_id, 'quiet')")
    await pair.sql("UPDATE projector_g1.cart_totals SET total_quantity = total_quantity + 1")
    await pair.sql("UPDATE projector_g1.item_totals SET line_count = line_count + 1")
    async with pair.host(), writing(pair, lines=100, seed=2):
        report = await pair.verify(repair=True)
        assert report.consistent, report
        assert report.missing == 20
        assert report.totals_wrong > 0
    await pair.drain()
    again = await pair.verify()
    assert again.consistent, again
    assert again.totals_wrong == 0
    assert await pair.totals_wrong() == 0


async def test_totals_are_mended_in_the_middle_of_batches(pair: Pair) -> None:
    await pair.lines(100)
    await pair.drain()
    async with pair.host(), writing(pair, lines=100, seed=3), pair.copy() as copy:
        for _ in range(8):
            await pair.sql("UPDATE projector_g1.cart_totals SET total_amount = total_amount + 1")
            await pair.sql("UPDATE projector_g1.cart_totals SET last_changed_at = now()")
            await pair.sql("UPDATE projector_g1.item_totals SET total_quantity = 3")
            await copy._store().mend_totals()
            assert await pair.totals_wrong() == 0


class Overtaken:
    """A reader whose first answer is outdated, and overtaken by the host, before it arrives."""

    def __init__(self, pair: Pair, reader: PointReader) -> None:
        self._pair = pair
        self._reader = reader
        self.asked = 0

    async def read(
        self, partition_key_json: str, document_id: str, *, session_token: str | None = None
    ) -> PointRead:
        found = await self._reader.read(
            partition_key_json, document_id, session_token=session_token
        )
        self.asked += 1
        if self.asked == 1:
            await self._pair.line("cart-0", "line-3", quantity=50)
            quantity = "SELECT count(*) FROM carts.cart_items WHERE id = 'line-3' AND quantity = 50"
            await until(lambda: _is(self._pair, quantity, 1))
        return found


@pytest.mark.parametrize("repair", [False, True])
async def test_a_row_newer_than_the_read_decides_nothing(pair: Pair, repair: bool) -> None:
    await pair.lines(10)
    await pair.drain()
    await pair.sql("DELETE FROM projector_g1.cart_items WHERE id = 'line-3'")
    await pair.sql("UPDATE projector_g1.cart_totals SET line_count = 4 WHERE cart_id = 'cart-0'")
    async with pair.host(), pair.copy() as copy:
        reader = Overtaken(pair, copy.opened.points)
        verifier = Verifier(
            source=copy.opened.source,
            scanner=copy.opened.scanner,
            reader=reader,
            projection=CART_PROJECTION,
            store=copy._store(),
            clock=copy.clock,
            draw=lambda: 0.5,
        )
        report = await verifier.verify(repair=repair)
    assert (report.missing, report.extra, report.stale) == (0, 0, 0), report
    assert reader.asked == 2


async def test_what_no_host_has_brought_is_pending_and_apart_from_drift(pair: Pair) -> None:
    await pair.lines(40)
    await pair.drain()
    await pair.lines(20)  # all of them changed
    await pair.line("new", "new")
    await pair.line("cart-7", "line-39", ttl=3600)
    await pair.sql("DELETE FROM projector_g1.cart_items WHERE id = 'line-30'")
    report = await pair.verify()
    assert not report.consistent
    assert (report.missing, report.extra, report.stale, report.pending) == (1, 0, 0, 22)
    mended = await pair.verify(repair=True)
    assert not mended.consistent, "pending is not equal"
    assert (mended.missing, mended.pending, mended.drift_left) == (1, 22, 0)
    await pair.drain()
    settled = await pair.verify()
    assert settled.consistent, settled
    assert settled.pending == 0


async def test_a_document_deleted_outright_leaves_an_extra_row(pair: Pair) -> None:
    await pair.lines(20)
    await pair.drain()
    await pair.world.delete("cart-0", "line-1")
    await pair.drain()
    report = await pair.verify()
    assert (report.missing, report.extra, report.stale) == (0, 1, 0)
    assert (await pair.verify(repair=True)).consistent
    assert await pair.value(IN_THE_VIEW) == 19
    assert (await pair.verify()).consistent


async def test_documents_older_than_the_start_are_told_apart(pair: Pair) -> None:
    await pair.lines(20)
    await pair.world.write("bad", "bad", item="x", quantity="many")
    await pair.world.advance(3)
    pair.values["start_from"] = "now"
    await pair.drain()
    await pair.line("cart-1", "line-5", quantity=3)
    await pair.line("new", "new")
    await pair.drain()
    assert await pair.value(IN_THE_VIEW) == 2
    report = await pair.verify()
    assert report.consistent, report
    assert (report.documents, report.rows, report.before_start) == (22, 2, 20)
    # a row that was there and went is drift all the same
    await pair.sql("UPDATE projector_g1.cart_items SET deleted = true WHERE id = 'new'")
    report = await pair.verify(repair=True)
    assert (report.missing, report.before_start, report.consistent) == (1, 20, True)
    assert await pair.value(IN_THE_VIEW) == 2


async def test_splits_and_merges_in_the_middle_are_no_drift(pair: Pair) -> None:
    await pair.lines(120)
    await pair.drain()
    async with pair.host(), writing(pair, lines=120, seed=4):
        async with asyncio.TaskGroup() as group:
            verifying = [group.create_task(pair.verify()) for _ in range(2)]
            ranges = await pair.world.source.physical_ranges()
            await pair.world.split(ranges[0].id)
            await pair.world.split(ranges[2].id)
        for task in verifying:
            report = task.result()
            assert report.consistent, report.examples
            assert report.documents >= 120
        await until(lambda: _stored(pair, 6))
        assert (await pair.verify()).consistent


async def test_a_merge_is_no_drift_and_what_is_wrong_after_it_is_mended(pair: Pair) -> None:
    await pair.lines(60)
    await pair.drain()
    ranges = await pair.world.source.physical_ranges()
    await pair.world.merge([ranges[0].id, ranges[1].id])
    assert (await pair.verify()).consistent, "before any host has seen it"
    await pair.drain()
    report = await pair.verify()
    assert report.consistent, report
    await pair.sql("UPDATE projector_g1.cart_items SET quantity = 8")
    mended = await pair.verify(repair=True)
    assert (mended.consistent, mended.stale) == (True, 60), mended
    assert await pair.totals_wrong() == 0
    await pair.lines(30)
    await pair.drain()
    assert (await pair.verify()).consistent


async def test_the_session_leaves_nothing_behind(pair: Pair) -> None:
    await pair.lines(5)
    await pair.drain()
    async with pair.copy() as copy:
        await copy.verify(repair=False)
        async with copy.connections.session() as session:
            found = await session.execute(
                "SELECT relname FROM pg_class WHERE relname LIKE 'verify_%' AND relpersistence = 't'"
            )
            assert await found.fetchall() == []


async def _stored(pair: Pair, count: int) -> bool:
    return await _is(pair, "SELECT count(*) FROM projector.ranges WHERE retired_at IS NULL", count)


async def _is(pair: Pair, statement: str, expected: int) -> bool:
    return bool(await pair.value(statement) == expected)
