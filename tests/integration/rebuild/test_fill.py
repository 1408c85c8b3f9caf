"""A generation is filled from either source, and ends equal to the container and to each other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from projector.core.errors import RebuildError
from projector.ports.feed import FeedTarget
from projector.ports.filling import Part
from projector.ports.generations import FillPhase, FillSource
from projector.postgres import generations, retiring
from projector.postgres.filling import FillParts
from projector.postgres.generation import FIRST_CONTROL
from projector.projection.carts import CARTS
from projector.rebuild import fill
from projector.rebuild.pages import Delivered, FeedPages
from tests.integration.rebuild.support import Site, lines
from tests.integration.verify.support import until

BOTH = pytest.mark.parametrize("source", list(FillSource), ids=str)


@BOTH
async def test_all_documents_come_once_and_totals_equal_a_recount(
    site: Site, source: FillSource
) -> None:
    await site.load(lines(300))
    await site.world.write("cart-1", "gone", item="Mug", quantity=1, ttl=60)
    await site.make()
    filled = await site.fill(source)
    assert filled.request_units > 0
    report = await site.verify()
    assert (report.consistent, report.documents, report.rows) == (True, 301, 300)
    assert {part.phase for part in await site.parts()} == {FillPhase.LOADED}
    assert sum(part.documents for part in await site.parts()) == filled.documents == 301


@BOTH
async def test_an_empty_container_is_filled_with_nothing(site: Site, source: FillSource) -> None:
    await site.make()
    assert (await site.fill(source)).documents == 0
    assert await site.rows() == []
    assert len(await site.leases()) == 4


async def test_both_sources_end_in_the_same_rows_totals_and_places(site: Site) -> None:
    await site.load(lines(200))
    ended = []
    for source in FillSource:
        await site.make()
        await site.fill(source)
        places = [(one.feed_range, one.continuation) for one in await site.leases()]
        rows = [row[:-1] for row in await site.rows()]
        ended.append((rows, await site.totals(), places))
        await site.sql("DROP SCHEMA projector_g2 CASCADE")
    assert ended[0] == ended[1]
    assert len(ended[0][0]) == 200


async def interrupted(site: Site, source: FillSource) -> None:
    """A process that ends in the middle of its parts."""
    async with site.filling(source) as share:
        running = asyncio.create_task(share.run())
        while not any(part.documents for part in await site.parts()):  # noqa: ASYNC110 - others write
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


@BOTH
async def test_a_split_and_a_merge_in_the_middle_lose_and_double_nothing(
    site: Site, source: FillSource
) -> None:
    await site.load(lines(600))
    await site.make()
    await interrupted(site, source)
    await site.world.split("0")
    await site.world.merge(["2", "3"])
    await site.fill(source)
    assert (await site.verify()).consistent
    assert len(await site.rows()) == 600
    lineages = await site.sql("SELECT min_epk, lineage FROM projector_g2.ranges ORDER BY min_epk")
    assert [lineage > 0 for _, lineage in lineages][-2:] == [True, True]
    leases = {lease.feed_range: lease for lease in await site.leases()}
    assert len(leases) == len(lineages) == 5
    assert all(lease.continuation for lease in leases.values())


# Parts of the hash space of the rows, by bounds that end in zeros.
NEWER_THAN_ANCHORS = """
SELECT count(*) FROM projector_g2.cart_items c JOIN projector_g2.fill_parts p
  ON c.epk >= ('x' || left(rpad(p.min_epk, 16, '0'), 16))::bit(64)::bigint
  AND (p.max_epk = 'FF' OR c.epk < ('x' || left(rpad(p.max_epk, 16, '0'), 16))::bit(64)::bigint)
WHERE c.lsn > p.anchor_lsn"""


@BOTH
async def test_what_changes_after_the_anchor_is_left_to_the_hosts(
    site: Site, source: FillSource
) -> None:
    await site.load(lines(200))
    await site.make()
    await interrupted(site, source)
    for number in range(0, 200, 10):
        await site.world.write(f"cart-{number // 5}", f"line-{number}", item="new", quantity=1)
    await site.world.write("cart-new", "1", item="new", quantity=1)
    await site.fill(source)
    anchors = await site.sql("SELECT min_epk, anchor_lsn FROM projector_g2.fill_parts ORDER BY 1")
    places = await site.sql("SELECT min_epk, lsn FROM projector_g2.ranges ORDER BY 1")
    assert places == anchors
    assert await site.sql(NEWER_THAN_ANCHORS) == [(0,)]


@BOTH
async def test_a_bad_document_costs_itself(site: Site, source: FillSource) -> None:
    await site.load(lines(40))
    await site.world.write("cart-1", "bad", item="", quantity=1)
    await site.world.raw(b'{"id":"worse","cartId":"cart-2","item":"x","quantity":NaN}')
    await site.make()
    await site.fill(source)
    assert len(await site.rows()) == 40
    entries = await site.sql(
        "SELECT document_id, status FROM projector_g2.quarantine ORDER BY document_id"
    )
    assert entries == [("bad", "open"), ("worse", "open")]
    flags = await site.sql("SELECT count(*) FROM projector_g2.ranges WHERE quarantined")
    assert flags[0][0] >= 1


async def test_a_text_that_copy_would_take_for_none_is_a_text_like_any_other(site: Site) -> None:
    mark = "\x01"
    texts = [(mark, "1", "Mug"), ("cart-1", mark, "Mug"), ("cart-2", "2", mark)]
    await site.load([{"cartId": c, "id": i, "item": t, "quantity": 1} for c, i, t in texts])
    await site.make()
    await site.fill()
    assert sorted(row[:3] for row in await site.rows()) == sorted(texts)
    assert await site.sql("SELECT count(*) FROM projector_g2.quarantine") == [(0,)]


FAILING = """
CREATE OR REPLACE FUNCTION public.failing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file: failing on purpose' USING ERRCODE = '53100'; END $$;
CREATE TRIGGER failing BEFORE INSERT ON projector_g2.{table}
FOR EACH STATEMENT EXECUTE FUNCTION public.failing()"""


async def told(site: Site, error: str) -> bool:
    """Whether some part says that it waits for this."""
    return any(error in (part.error or "") for part in await site.parts())


@pytest.mark.parametrize("table", ["cart_items", "cart_totals"])
async def test_a_full_disk_is_waited_out(site: Site, table: str) -> None:
    await site.load(lines(60))
    await site.make()
    await site.sql(FAILING.replace("{table}", table))
    async with site.filling() as share, asyncio.TaskGroup() as group:
        group.create_task(share.run())
        await until(lambda: told(site, "failing on purpose"))
        assert site.filled == []
        await site.sql(f"DROP TRIGGER failing ON projector_g2.{table}")
    assert (await site.verify()).consistent
    assert await site.sql("SELECT count(*) FROM projector_g2.quarantine") == [(0,)]
    assert [part.error for part in await site.parts()] == [None] * 4


ENDED_SESSIONS = 5
"""Waits grow with each."""


async def test_sessions_that_the_server_ends_are_replaced(site: Site) -> None:
    """As when PostgreSQL is restarted, time after time."""
    await site.load(lines(500))
    await site.make()
    async with site.filling() as share:
        running = asyncio.create_task(share.run())
        ended = 0
        while not running.done():
            await asyncio.sleep(0.05)
            ended += len(
                await site.sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    " AND application_name = 'projector'"
                )
            )
            if ended >= ENDED_SESSIONS:
                break
        await running
    assert ended
    assert len(await site.rows()) == 500
    assert (await site.verify()).consistent


@BOTH
async def test_trouble_of_the_service_is_waited_out(site: Site, source: FillSource) -> None:
    await site.load(lines(100))
    await site.make()
    for fault in ({"status": 429, "retry_after_ms": 10}, {"status": 449}, {"status": 413}):
        operation = "change_feed" if source is FillSource.FEED else "query"
        await site.world.fault(operation=operation, times=2, **fault)
    await site.fill(source)
    assert (await site.verify()).consistent


async def test_documents_of_two_containers_are_never_mixed(site: Site) -> None:
    await site.load(lines(300))
    await site.make()
    await interrupted(site, FillSource.FEED)
    await site.world.recreate()
    with pytest.raises(RebuildError, match="created anew"):
        await site.fill()


async def test_nothing_is_left_of_a_generation_that_was_filled_and_given_up(site: Site) -> None:
    async with site.connections(FIRST_CONTROL) as first:
        made = await generations.create(
            first, CARTS, who="me", why=None, source=FillSource.FEED, processor_name="projector"
        )
        await site.load(lines(10))
        await site.fill()
        await generations.abort(first, made.record.id, who="me")
        assert not await retiring.drop(first, made.record)
    assert await site.sql("SELECT FROM pg_namespace WHERE nspname = 'projector_g2'") == []


async def test_a_part_stays_with_whoever_waits_long_for_an_answer(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.make()
    await site.load(lines(12))
    claim, read, claimed = FillParts.claim, FeedPages.read, []

    async def counted(parts: FillParts) -> Part | None:
        part = await claim(parts)
        claimed.extend([] if part is None else [part.part_id])
        return part

    async def slow(pages: FeedPages, target: FeedTarget, *args: Any, **asked: Any) -> Delivered:
        await asyncio.sleep(1.5 if target.lease_token == "0" else 0.0)
        return await read(pages, target, *args, **asked)

    monkeypatch.setattr(FillParts.__init__, "__kwdefaults__", {"hold_seconds": 0.5})
    monkeypatch.setattr(FillParts, "claim", counted)
    monkeypatch.setattr(FeedPages, "read", slow)
    monkeypatch.setattr(fill, "KEEP_SECONDS", 0.1)
    await site.fill()
    assert len(claimed) == len(set(claimed)) == len(await site.parts())
