"""What is built once from the rows: the same tables as live ones, and one row per key, the newest."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from projector.ports.filling import FinishStep
from projector.postgres.finishing import Finish
from projector.postgres.generation import Generation
from projector.postgres.tables import table_statements
from tests.integration.postgres.test_generation import SHAPES, TABLES
from tests.integration.rebuild.support import PROCESSOR, Site, lines, second

RID = "rid"
ROW = """
INSERT INTO projector_g2.cart_items (epk, lsn, ts, lineage, deleted, cart_id, id, item, quantity, etag)
VALUES (%s, %s, 1, %s, false, 'a', '1', 'Mug', %s, 'e')"""
PART = """
INSERT INTO projector_g2.fill_parts (lease_token, version, min_epk, max_epk, phase, lineage, anchor, anchor_lsn)
VALUES ('0', 0, '', 'FF', 'loaded', %s, '"9"', 9)"""


async def finish(site: Site) -> None:
    async with site.connections() as opened:
        finishing = Finish(
            opened, generation=site.generation, container_rid=RID, processor_name=PROCESSOR
        )
        for step in (*FinishStep, *FinishStep):  # what was done is not done again
            assert await finishing.step(step)


async def test_filled_tables_are_like_those_that_are_made_with_keys(site: Site) -> None:
    await site.load(lines(50))
    await site.make()
    await site.fill()
    whole: Generation = second("projector_g3")
    with psycopg.connect(site.url) as session:
        for statement in table_statements(whole):
            session.execute(statement.encode())
        for name, query in SHAPES.items():
            found, meant = (
                sorted(
                    repr(row).replace(schema, "here")
                    for row in session.execute(query.encode(), [schema])
                    if row[0] in TABLES - {"fill_parts"} or name == "functions"
                )
                for schema in (site.generation.schema, whole.schema)
            )
            assert found == meant, name


async def test_rows_of_a_reading_that_was_begun_anew_go(site: Site) -> None:
    await site.make()
    await site.sql(PART, 1)
    await site.sql(ROW, 5, 9, 0, 1)
    await site.sql(ROW, 5, 3, 1, 2)
    await site.sql(ROW.replace("'1', 'Mug'", "'2', 'Mug'"), 5, 9, 0, 1)
    await finish(site)
    assert [(row[1], row[3]) for row in await site.rows()] == [("1", 2)]
    assert (await site.totals())[1] == [("Mug", 1, 2)]


async def test_of_two_rows_of_one_key_the_newer_one_stays(site: Site) -> None:
    await site.make()
    await site.sql(PART, 0)
    for lsn, quantity in ((3, 1), (8, 2), (5, 3)):
        await site.sql(ROW, 5, lsn, 0, quantity)
    await finish(site)
    assert [(row[1], row[3]) for row in await site.rows()] == [("1", 2)]
    assert (await site.totals())[1] == [("Mug", 1, 2)]
    [placed] = await site.sql(
        "SELECT lease_token, continuation, lsn, lineage, placed, quarantined FROM projector_g2.ranges"
    )
    assert placed == ("0", '"9"', 9, 0, True, False)


@pytest.mark.parametrize(
    "taken",
    [
        "DELETE FROM projector_g2.fill_parts",
        "UPDATE projector_g2.fill_parts SET phase = 'loading', batches = 0, place = NULL, documents = 0",
    ],
)
async def test_what_a_failover_takes_back_before_it_was_finished_is_loaded_again(
    site: Site, monkeypatch: pytest.MonkeyPatch, taken: str
) -> None:
    """The standby did not know of the load yet, or of a part of it; nobody finishes a half."""
    failed_over = False
    real = Finish.step

    async def step(self: Finish, at: FinishStep) -> bool:
        nonlocal failed_over
        if not failed_over:
            failed_over = True
            await site.sql(taken)
            await site.sql("TRUNCATE projector_g2.cart_items")
        return await real(self, at)

    monkeypatch.setattr(Finish, "step", step)
    await site.load(lines(30))
    await site.make()
    assert (await site.fill()).documents == 30
    assert len(await site.rows()) == 30
    assert sum(row[2] for row in (await site.totals())[0]) == 30


@pytest.mark.parametrize("step", list(FinishStep), ids=str)
async def test_one_process_is_at_a_step_at_a_time(site: Site, step: FinishStep) -> None:
    await site.make()
    await site.sql(PART, 0)
    await site.sql(PART.replace("'0', 0, '', 'FF'", "'1', 0, 'F', 'G'"), 0)
    async with site.connections() as opened, opened.transaction() as session:
        await session.execute("SELECT FROM fill_parts WHERE lease_token = '0' FOR UPDATE")
        finishing = Finish(
            opened, generation=site.generation, container_rid=RID, processor_name=PROCESSOR
        )
        assert not await finishing.step(step)


async def test_two_processes_fill_one_generation(site: Site) -> None:
    await site.load(lines(400))
    await site.make()
    async with site.filling() as one, site.filling() as other, asyncio.timeout(60):
        await asyncio.gather(one.run(), other.run())
    assert [one.documents for one in site.filled] == [400, 400]
    assert (await site.verify()).consistent
