"""Reads that wait as they are told, and pages that become smaller."""

from __future__ import annotations

import pytest

from projector.core.errors import PageTooLarge, SourceUnavailable, Throttled
from projector.core.names import LeaseToken
from projector.core.ranges import FULL_RANGE
from projector.ports.feed import FeedTarget
from projector.ports.points import ScannedPage
from projector.reconcile.reads import ATTEMPTS, PatientScanner, Reads
from tests.integration.cosmos.support import ShiftedClock


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
    target = FeedTarget(lease_token=LeaseToken("verify"), feed_range=FULL_RANGE, range_id="0")
    await scanner.scan(target, None)
    await scanner.scan(target, None)
    assert small.asked == [10, 5, 2, 4, 2]


async def test_an_outage_that_lasts_is_told_after_so_many_attempts() -> None:
    asked = 0

    async def read() -> str:
        nonlocal asked
        asked += 1
        raise SourceUnavailable("down")

    with pytest.raises(SourceUnavailable):
        await Reads(clock=ShiftedClock(), draw=lambda: 0.5).until_done(read)
    assert asked == ATTEMPTS
