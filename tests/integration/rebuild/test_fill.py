"""A generation is filled from either source, and ends equal to the container and to each other."""

from __future__ import annotations

import pytest

from projector.ports.generations import FillPhase, FillSource
from tests.integration.rebuild.support import Site, lines

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
