"""The gate: whatever makes a new generation differ from the container, readers never see it."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from projector.core.errors import SinkUnavailable
from projector.core.lease import Lease
from projector.core.names import LeaseToken
from projector.core.ranges import FULL_RANGE
from projector.operations import rebuild
from projector.ports.generations import GenerationState
from projector.postgres import switching
from projector.processor.clock import SystemClock
from projector.wiring.copy import both_sides
from projector.wiring.housekeeping import Work
from tests.integration.rebuild.rebuilt import ANN, Rebuilt

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(300)]

# A rule that is wrong for whatever is written: the cents are lost.
WRONG_RULE = (
    """
CREATE FUNCTION {schema}.without_cents() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN NEW.unit_price := trunc(NEW.unit_price); RETURN NEW; END'""",
    """
CREATE TRIGGER a_wrong_rule BEFORE INSERT OR UPDATE ON {schema}.cart_items
  FOR EACH ROW EXECUTE FUNCTION {schema}.without_cents()""",
)

# A document without its row, a row without its document, with both the totals of two carts, a wrong row.
DAMAGE = """
UPDATE projector_g2.cart_items SET item = 'pear' WHERE id = 'line-217';
DELETE FROM projector_g2.cart_items WHERE id = 'line-7';
INSERT INTO projector_g2.cart_items SELECT (jsonb_populate_record(i, '{"id": "nobody"}')).*
FROM projector_g2.cart_items i WHERE id = 'line-17'"""


async def test_what_is_equal_is_promoted_and_kept_in_the_history(rebuilt: Rebuilt) -> None:
    await rebuilt.pair.lines(60)
    await rebuilt.pair.line("cart-0", "bad", quantity="many")
    async with rebuilt.pair.host():
        made = await rebuilt.start(why="bloat")
        verdict = await rebuilt.judged(await rebuilt.filled(made.id))
        assert (verdict.open, verdict.against) == (True, [])
        assert verdict.compared.counts["rows"] == 60
        await rebuilt.promote(verdict)
    live, former = await rebuilt.records()
    assert (live.id, live.state, live.who, live.why) == (2, GenerationState.LIVE, ANN, "bloat")
    assert (former.state, live.forced) == (GenerationState.FORMER, None)
    assert live.verified_at is not None
    assert live.live_from is not None
    assert await rebuilt.value("SELECT count(*) FROM carts.cart_items") == 60
    assert await rebuilt.value("SELECT count(*) FROM projector_g2.quarantine") == 1
    verified = "SELECT verified_generation FROM carts.freshness WHERE feed_range = 'all'"
    assert await rebuilt.value(verified) == 2
    assert rebuilt.told[-1].waits_for == ()


async def test_a_switch_whose_commit_nobody_confirmed_counts_and_is_recorded_once(
    rebuilt: Rebuilt, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote = switching.promote

    async def lost(*args: Any, **named: Any) -> None:
        await promote(*args, **named)
        raise SinkUnavailable("server closed the connection unexpectedly")

    monkeypatch.setattr(switching, "promote", lost)
    await rebuilt.pair.lines(5)
    async with rebuilt.pair.host():
        assert (await rebuilt.whole()).state is GenerationState.LIVE
    verified = "SELECT verified_generation FROM carts.freshness WHERE feed_range = 'all'"
    assert await rebuilt.value(verified) == 2
    told = "SELECT count(*) FROM projector.timeline WHERE kind = 'rebuild_promoted'"
    assert await rebuilt.value(told) == 1


async def test_whatever_differs_is_named_and_keeps_the_gate_closed_until_it_is_mended(
    rebuilt: Rebuilt,
) -> None:
    await rebuilt.pair.lines(300)
    async with rebuilt.pair.host():
        made = await rebuilt.filled((await rebuilt.start()).id)
        await rebuilt.pair.sql(DAMAGE)
        verdict = await rebuilt.judged(made)
        assert verdict.against == [
            "1 document is missing",
            "1 row is of no document",
            "1 row is not as its document",
            "4 totals are not what the rows say",
        ]
        wrong = 'document line-217 in cart "cart-43": item is pear, not apple'
        assert any(wrong in line for line in verdict.compared.lines)
        assert await rebuilt.value("SELECT count(*) FROM carts.cart_items WHERE item = 'pear'") == 0
        assert [one.state for one in await rebuilt.records()] == [
            GenerationState.FOLLOWING,
            GenerationState.LIVE,
        ]
        await rebuilt.repair(made.id)
        again = await rebuilt.judged(await rebuilt.filled(made.id))
        assert (again.open, again.against) == (True, [])


async def test_one_wrong_rule_is_named_and_keeps_the_gate_closed(rebuilt: Rebuilt) -> None:
    await rebuilt.pair.lines(40)
    made = await rebuilt.start()
    for statement in WRONG_RULE:
        await rebuilt.pair.sql(statement.format(schema=made.schema))
    async with rebuilt.pair.host():
        verdict = await rebuilt.judged(await rebuilt.filled(made.id))
        assert verdict.against[0] == "40 rows are not as their documents"
        assert all("price is 1, not 1.25" in line for line in verdict.compared.lines[:20])
        assert not verdict.open


async def test_one_that_somebody_reads_is_given_up_all_the_same_and_dropped_later(
    rebuilt: Rebuilt,
) -> None:
    await rebuilt.pair.drain()
    made = await rebuilt.start()
    reading = await psycopg.AsyncConnection.connect(rebuilt.pair.url)
    async with reading, rebuilt.sides() as sides:
        await reading.execute("SELECT FROM projector_g2.cart_items")
        await rebuild.abort(sides, who=ANN)
        assert [one.state for one in await sides.records()] == [
            GenerationState.ABORTED,
            GenerationState.LIVE,
        ]
        await reading.rollback()
    async with both_sides(rebuilt.pair.settings, clock=SystemClock()) as copy:
        assert (await Work(copy=copy, settings=rebuilt.pair.settings).retire())["dropped"] == [
            made.id
        ]


async def test_nothing_is_left_of_the_leases_and_jobs_of_one_that_was_given_up(
    rebuilt: Rebuilt,
) -> None:
    settings, clock = rebuilt.pair.settings, SystemClock()
    async with rebuilt.pair.host():
        await rebuilt.filled((await rebuilt.start()).id)
    async with rebuilt.sides() as sides:
        await rebuild.abort(sides, who=ANN)
    async with both_sides(settings, clock=clock) as copy:
        second, work = (
            copy.opened.of_processor(f"{settings.processor_name}@g2"),
            Work(copy=copy, settings=settings),
        )
        assert await second.leases.list_leases()
        assert await second.markers.is_initialized()
        ended = "UPDATE projector.generations SET ended_at = now() - interval '9 days' WHERE id = 2"
        ran = "UPDATE projector.housekeeping_runs SET last_success_at = {} WHERE job = 'retire'"
        await rebuilt.pair.sql(ended)
        for last in (
            "NULL",
            "now() - interval '9 days 1 hour'",
            "now() - interval '8 days 1 hour'",
        ):
            await rebuilt.pair.sql(ran.format(last))
            await work.retire()
            assert not await second.leases.list_leases()
            assert not await second.markers.is_initialized()
            # A host that was filling it, and has heard of nothing for a while.
            await second.leases.create(Lease(id="", token=LeaseToken("0"), feed_range=FULL_RANGE))
            await second.markers.mark_initialized()
        assert await copy.opened.leases.list_leases()
        assert await copy.opened.markers.is_initialized()
    jobs = "SELECT count(*) FROM projector.housekeeping_runs WHERE job LIKE '%%@g2'"
    assert await rebuilt.value(jobs) == 0


async def test_an_empty_container_and_one_right_after_another(rebuilt: Rebuilt) -> None:
    async with rebuilt.pair.host():
        assert (await rebuilt.whole()).id == 2
        await rebuilt.pair.lines(10)
        assert (await rebuilt.whole()).id == 3
        assert await rebuilt.value("SELECT count(*) FROM carts.cart_items") == 10
        async with rebuilt.sides() as sides:
            former, left = await rebuild.roll_back(sides, who=ANN)
        assert (former.id, left.id) == (2, 3)
        assert await rebuilt.value("SELECT count(*) FROM carts.cart_items") == 10
