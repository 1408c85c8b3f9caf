"""Feed ranges as intervals of 63-bit numbers."""

from __future__ import annotations

import pytest

from projector.core.ranges import FULL_RANGE, FeedRange
from projector.postgres.ranges import HIGHEST, bounds


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        ("", "FF", (0, HIGHEST)),
        ("", "1" + "0" * 31, (0, 0x1000_0000_0000_0000 - 1)),
        ("1" + "0" * 31, "FF", (0x1000_0000_0000_0000, HIGHEST)),
        ("10", "20", (0x1000_0000_0000_0000, 0x2000_0000_0000_0000 - 1)),
        ("05C1", "05C2", (0x05C1_0000_0000_0000, 0x05C2_0000_0000_0000 - 1)),
        ("", "10000000000000000000000000000001", (0, 0x1000_0000_0000_0000)),
        ("", "F0", (0, HIGHEST - 1)),
    ],
)
def test_bounds(low: str, high: str, expected: tuple[int, int]) -> None:
    assert bounds(FeedRange(min=low, max=high)) == expected


def test_neighbours_leave_no_gap() -> None:
    low, high = bounds(FeedRange(min="", max="2" + "0" * 31))
    next_low, next_high = bounds(FeedRange(min="2" + "0" * 31, max="FF"))
    assert (low, high + 1, next_high) == (0, next_low, bounds(FULL_RANGE)[1])
