"""What every `Ledger` must do.

A subclass offers the fixture `ledger`, on which nobody has booked yet.
"""

from __future__ import annotations

import asyncio

import pytest

from projector.ports.budget import Ledger


class LedgerContract:
    async def test_the_first_booking_begins_at_once(self, ledger: Ledger) -> None:
        assert await ledger.book(1000, per_second=10) == 0

    async def test_each_booking_begins_where_the_one_before_it_ends(self, ledger: Ledger) -> None:
        await ledger.book(50_000, per_second=1000)
        assert await ledger.book(40_000, per_second=1000) == pytest.approx(50, abs=15)
        assert await ledger.book(1, per_second=1000) == pytest.approx(90, abs=15)

    async def test_hosts_that_book_at_once_share_one_line(self, ledger: Ledger) -> None:
        waits = await asyncio.gather(*(ledger.book(30_000, per_second=1000) for _ in range(4)))
        for wait, expected in zip(sorted(waits), (0, 30, 60, 90), strict=True):
            assert wait == pytest.approx(expected, abs=14)

    async def test_what_nobody_booked_is_not_saved_up(self, ledger: Ledger) -> None:
        await ledger.book(0.001, per_second=1000)
        await ledger.book(100_000, per_second=1000)
        assert await ledger.book(1, per_second=1000) == pytest.approx(100, abs=20)
