from __future__ import annotations

import pytest

from projector.core.errors import (
    SourceRecreated,
    SourceUnavailable,
)
from projector.reconcile import reads, verify
from tests.integration.verify.support import Pair

FAULTS = {
    "throttled": {"status": 429, "retry_after_ms": 20, "times": 3},
    "retry with": {"status": 449, "times": 2},
    "page too large": {"status": 413, "times": 1},
    "service down": {"status": 503, "times": 2},
    "connection dropped": {"action": "drop", "times": 1},
    "answer cut off": {"action": "truncate", "times": 1},
}


@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        pytest.param(operation, fault, id=f"{operation}, {name}")
        for operation in ("query_items", "read_item")
        for name, fault in FAULTS.items()
        if (operation, name) != ("read_item", "page too large")
    ],
)
async def test_outages_in_the_middle_are_waited_out(
    pair: Pair, operation: str, fault: dict[str, object]
) -> None:
    await pair.lines(40)
    await pair.drain()
    await pair.sql("DELETE FROM projector_g1.cart_items WHERE id = 'line-3'")
    await pair.world.fault(operation=operation, **fault)
    report = await pair.verify(repair=True)
    assert report.consistent, report
    assert (report.documents, report.missing, report.repaired) == (40, 1, 1 + 2)


async def test_an_outage_that_lasts_ends_the_verify_and_changes_nothing(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "ATTEMPTS", 2)
    await pair.lines(10)
    await pair.drain()
    await pair.sql("DELETE FROM projector_g1.cart_items WHERE id = 'line-3'")
    await pair.world.fault(operation="read_item", status=449)
    with pytest.raises(SourceUnavailable):
        await pair.verify(repair=True)
    assert await pair.value("SELECT count(*) FROM carts.cart_items") == 9
    await pair.world.heal()
    assert (await pair.verify(repair=True)).consistent


async def test_a_recreated_container_is_not_compared(pair: Pair) -> None:
    await pair.lines(5)
    await pair.drain()
    await pair.world.recreate()
    with pytest.raises(SourceRecreated, match="accept-new-source"):
        await pair.verify(repair=True)
    assert await pair.value("SELECT count(*) FROM carts.cart_items") == 5


async def test_a_row_ahead_of_the_container_is_named_and_not_claimed_as_mended(pair: Pair) -> None:
    await pair.lines(10)
    await pair.drain()
    await pair.sql(
        "UPDATE projector_g1.cart_items SET lsn = 9999, quantity = 7 WHERE id = 'line-3'"
    )
    report = await pair.verify(repair=True)
    assert not report.consistent
    assert (report.stale, report.pending) == (1, 0)
    assert [one.key.id for one in report.unmended] == ["line-3"]


async def test_a_copy_that_never_began_is_pending_as_a_whole_and_not_equal(pair: Pair) -> None:
    await pair.lines(20)
    report = await pair.verify()
    assert not report.consistent
    assert report.drift_left == 0
    assert (report.documents, report.rows, report.pending) == (20, 0, 20)


async def test_more_differences_than_fit_are_all_mended(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "SUSPECTS_AT_ONCE", 7)
    await pair.lines(60)
    await pair.drain()
    await pair.sql("UPDATE projector_g1.cart_items SET quantity = 5 WHERE id < 'line-3'")
    await pair.sql("DELETE FROM projector_g1.cart_items WHERE id > 'line-4'")
    for number in range(10, 20):
        await pair.world.delete(f"cart-{number // 5}", f"line-{number}")
    await pair.drain()
    report = await pair.verify(repair=True)
    assert report.consistent, report
    assert report.extra == 10
    assert len(report.examples) == 20
    again = await pair.verify()
    assert (again.consistent, again.rows, again.documents) == (True, 50, 50)
