"""A container with other documents beside cart lines: under a filter they are not there."""

from __future__ import annotations

import pytest

from projector.core.errors import ProjectionChanged
from projector.operations.leases import Consent
from projector.processor.clock import SystemClock
from projector.wiring.commands import prepared_reset
from projector.wiring.service import Service
from tests.integration.verify.support import Pair

OPEN = "SELECT count(*) FROM projector.quarantine WHERE status <> 'closed'"
ROWS = "SELECT cart_id, id FROM carts.cart_items ORDER BY 1, 2"


async def mixed(pair: Pair) -> None:
    for number in range(4):
        await pair.line(f"cart-{number}", "1", type="line")
        await pair.world.write(f"cart-{number}", "offer", type="offer", percent=10)


async def test_other_documents_are_counted_and_are_neither_rows_nor_entries(pair: Pair) -> None:
    pair.values["only_where"] = "type=line"
    await mixed(pair)
    tally = await Service(pair.settings).run(migrate=False, until_caught_up=True)
    assert (tally.delivered, tally.upserted, tally.rejected, tally.filtered) == (8, 4, 0, 4)
    assert await pair.value(OPEN) == 0
    report = await pair.verify()
    assert (report.consistent, report.documents, report.rows, report.filtered) == (True, 8, 4, 4)


async def test_a_line_that_becomes_something_else_loses_its_row_and_comes_back(pair: Pair) -> None:
    pair.values["only_where"] = "type=line"
    await mixed(pair)
    await pair.world.write("cart-0", "bad", type="line", quantity="many")
    await pair.drain()
    assert await pair.value(OPEN) == 1
    await pair.line("cart-0", "1", type="gift")
    await pair.world.write("cart-0", "bad", type="note")
    await pair.drain()
    assert len(await pair.sql(ROWS)) == 3
    assert await pair.value(OPEN) == 0
    assert (await pair.verify()).consistent
    assert await pair.totals_wrong() == 0
    await pair.line("cart-0", "1", type="line")
    await pair.drain()
    assert len(await pair.sql(ROWS)) == 4


async def test_another_filter_is_refused_until_the_container_is_read_again(pair: Pair) -> None:
    await mixed(pair)
    await pair.drain()
    assert await pair.value(OPEN) == 4
    for changed, rows, entries in (("type=line", 4, 0), ("type=offer", 0, 4), (None, 4, 4)):
        pair.values["only_where"] = changed
        with pytest.raises(ProjectionChanged, match="--accept-new-projection"):
            await pair.drain()
        with pytest.raises(ProjectionChanged):
            await pair.verify()
        consent = Consent(new_projection=True)
        async with prepared_reset(
            pair.settings, clock=SystemClock(), token=None, consent=consent
        ) as prepared:
            await prepared.carry_out()
        await pair.drain()
        assert len(await pair.sql(ROWS)) == rows, changed
        assert await pair.value(OPEN) == entries, changed
        assert (await pair.verify()).consistent
        assert await pair.totals_wrong() == 0


async def test_a_row_that_the_feed_did_not_take_away_is_drift_and_is_mended(pair: Pair) -> None:
    pair.values["only_where"] = "type=line"
    await pair.line("cart-0", "1", type="line")
    await pair.drain()
    await pair.sql("UPDATE projector.source SET projection = 'carts where type = \"gift\"'")
    pair.values["only_where"] = "type=gift"
    report = await pair.verify(repair=True)
    assert (report.extra, report.repaired, report.rows) == (1, 1, 0)
    assert report.consistent
