from __future__ import annotations

import pytest

from projector.core.errors import (
    PageTooLarge,
    SourceRecreated,
    SourceUnavailable,
    Throttled,
)
from projector.core.names import Epoch, LeaseToken
from projector.core.ranges import FeedRange
from projector.core.start import Position
from projector.ports.feed import FeedTarget, PhysicalRange
from projector.ports.points import ScannedPage
from projector.ports.ranges import StoredRange
from projector.reconcile import reads, verify
from projector.reconcile.parts import holder_of, parts_of
from projector.reconcile.reads import PatientScanner, Reads
from tests.integration.cosmos.support import ShiftedClock
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


def physical(id_: str, low: str, high: str) -> PhysicalRange:
    return PhysicalRange(id=id_, feed_range=FeedRange(min=low, max=high))


def stored(range_id: int, low: str, high: str) -> StoredRange:
    return StoredRange(
        range_id=range_id,
        container_rid="rid",
        lease_token=LeaseToken("0"),
        processor_name="p",
        feed_range=FeedRange(min=low, max=high),
        epoch=Epoch(1),
        opened_epoch=Epoch(1),
        lineage=0,
        position=Position(continuation=None, lsn=1),
    )


CUTS = {
    "one for one": ([("0", "", "80"), ("1", "80", "FF")], [(1, "", "80"), (2, "80", "FF")], 2),
    "nothing stored": ([("0", "", "80"), ("1", "80", "FF")], [], 2),
    "split, parent stored": ([("1", "", "80"), ("2", "80", "FF")], [(1, "", "FF")], 2),
    "merged, sub-ranges stored": ([("3", "", "FF")], [(1, "", "40"), (2, "40", "FF")], 2),
    "a gap between stored ranges": ([("0", "", "FF")], [(1, "", "20"), (2, "40", "FF")], 3),
}


@pytest.mark.parametrize(("partitions", "ranges", "count"), CUTS.values(), ids=CUTS.keys())
def test_parts_cover_the_container_once_and_lie_in_one_stored_range(
    partitions: list[tuple[str, str, str]], ranges: list[tuple[int, str, str]], count: int
) -> None:
    places = [stored(*one) for one in ranges]
    whole = FeedRange(min="", max="FF")
    parts = parts_of(whole, [physical(*one) for one in partitions], places)
    assert len(parts) == count
    reached = ""
    for part in parts:
        assert part.feed_range.min == reached
        reached = part.feed_range.max
        holder_of(part.feed_range, places)  # raises when several hold its keys
    assert reached == "FF"


async def test_waits_of_the_service_are_kept_and_never_counted() -> None:
    clock = ShiftedClock()
    began = clock.monotonic()
    answers = [Throttled(retry_after_seconds=3)] * 50

    async def read() -> str:
        if answers:
            raise answers.pop()
        return "done"

    assert await Reads(clock=clock, draw=lambda: 0.5).until_done(read) == "done"
    assert clock.monotonic() - began >= 150


async def test_throttling_without_a_useful_wait_is_asked_again_ever_more_slowly() -> None:
    clock = ShiftedClock()
    began = clock.monotonic()
    answers = [Throttled(retry_after_seconds=0)] * 20

    async def read() -> str:
        if answers:
            raise answers.pop()
        return "done"

    assert await Reads(clock=clock, draw=lambda: 0.0).until_done(read) == "done"
    assert clock.monotonic() - began >= 30


async def test_a_page_that_is_too_large_is_asked_for_in_smaller_ones() -> None:
    class Small:
        def __init__(self) -> None:
            self.asked: list[int] = []

        async def count(self) -> int | None:
            raise SourceUnavailable("not now")

        async def scan(
            self, target: FeedTarget, next_page: str | None, *, max_documents: int
        ) -> ScannedPage:
            self.asked.append(max_documents)
            if max_documents > 3:
                raise PageTooLarge("smaller")
            return ScannedPage(body=b"", next_page=None, session_lsn=1)

    small = Small()
    scanner = PatientScanner(small, Reads(clock=ShiftedClock(), draw=lambda: 0.5), max_documents=10)
    target = parts_of(FeedRange(min="", max="FF"), [physical("0", "", "FF")], [])[0]
    await scanner.scan(target, None)
    await scanner.scan(target, None)
    assert small.asked == [10, 5, 2, 4, 2]
