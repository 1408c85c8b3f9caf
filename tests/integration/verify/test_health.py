"""What `status` and `health` say of a copy that is not what its leases and reports pretend."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from projector.core.health import Health
from projector.operations.status import Status
from projector.postgres.copy_facts import copy_facts
from projector.postgres.reports import store_reports
from projector.processor.clock import SystemClock
from projector.wiring import commands
from tests.integration.verify.support import Pair, until


async def status(pair: Pair) -> Status:
    return await commands.look(pair.settings, clock=SystemClock())


def gap(found: Status) -> int:
    assert found.ranges
    return sum(one.gap_changes or 0 for one in found.ranges)


async def test_an_older_backup_is_seen_by_its_rows_whatever_the_leases_say(pair: Pair) -> None:
    await pair.lines(20)
    await pair.drain()
    for table in ("ranges", "range_reports"):
        await pair.sql(f"CREATE TABLE kept_{table} AS SELECT * FROM projector.{table}")
    await pair.lines(15, cart="later")
    await pair.drain()
    assert gap(await status(pair)) == 0
    await pair.sql(
        "UPDATE projector.ranges r SET continuation = k.continuation, lsn = k.lsn, epoch = k.epoch,"
        " position_time = k.position_time FROM kept_ranges k WHERE k.id = r.id"
    )
    await pair.sql("DELETE FROM projector.range_reports")
    await pair.sql("INSERT INTO projector.range_reports SELECT * FROM kept_range_reports")
    await pair.sql("DELETE FROM projector_g1.cart_items WHERE starts_with(cart_id, 'later')")
    found = await status(pair)
    assert gap(found) >= 15
    assert not found.diagnosis.healthy
    async with pair.host():
        await until(lambda: _is_current(pair))


async def test_without_a_host_a_complete_copy_is_not_advancing(pair: Pair) -> None:
    await pair.lines(5)
    assert (await status(pair)).diagnosis.health is Health.UNKNOWN
    await pair.drain()
    found = await status(pair)
    assert gap(found) == 0
    assert (found.diagnosis.health, found.diagnosis.healthy) == (Health.NOT_ADVANCING, False)
    assert "no host reads it, nothing waits" in found.diagnosis.reason


async def test_keys_of_a_lease_that_nobody_may_take_are_unknown(pair: Pair) -> None:
    await pair.lines(10)
    pair.values["max_leases"] = 1
    async with pair.host() as service:
        await until(lambda: service.metrics.owned._value.get() == 1)
        await until(lambda: _heard(pair))
        found = await status(pair)
        assert found.diagnosis.health is Health.UNKNOWN
        assert found.diagnosis.reason.startswith("3 of 4 ranges: no host reads it")
        [(lag,)] = await pair.sql(
            "SELECT lag_seconds FROM carts.freshness WHERE feed_range = 'all'"
        )
        assert lag is None
    report = await pair.verify()
    assert (report.pending > 0, report.consistent) == (True, False)


@pytest.mark.parametrize("ahead_hours", [-1, 1])
async def test_a_host_whose_clock_is_wrong_is_judged_by_the_databases_clock(
    pair: Pair, ahead_hours: int
) -> None:
    await pair.lines(5)
    await pair.drain()
    async with pair.connections() as connections:
        before = await copy_facts(connections)
        reports = [one.report for one in before.reports.values()]
        shift = timedelta(hours=ahead_hours)
        polled = [one.last_poll_at for one in reports if one.last_poll_at is not None]
        assert polled
        skewed = [
            replace(one, told_at=before.now + shift, last_poll_at=when + shift)
            for one, when in zip(reports, polled, strict=True)
        ]
        await store_reports(connections, skewed)
        after = await copy_facts(connections)
    for one in after.reports.values():
        assert one.report.last_poll_at is not None
        assert abs((after.now - one.report.last_poll_at).total_seconds()) < 60


async def test_what_a_person_verified_is_what_status_and_metrics_tell(pair: Pair) -> None:
    await pair.lines(5)
    await pair.drain()
    assert (await status(pair)).verified_at is None
    await pair.sql("UPDATE projector_g1.cart_items SET quantity = 8 WHERE id = 'line-3'")
    for repair, left in ((False, 3), (True, 0)):
        async with pair.copy() as copy:
            await copy.remember(await copy.verify(repair=repair))
        found = await status(pair)
        assert found.verified_at is not None
        assert found.drift_found == left


async def _is_current(pair: Pair) -> bool:
    return (await status(pair)).diagnosis.health is Health.CURRENT


async def _heard(pair: Pair) -> bool:
    return bool(await pair.value("SELECT count(*) FROM projector.range_reports"))
