"""Feed ranges as intervals of the rows' `epk` column: the top 64 bits of the partition key's hash.

The service cuts ranges at multiples far above 2^64, so the top half tells on which side a key is.
A bound that does not end in zeros would put the keys that share its top half on both sides; the
one reader of these intervals, the sweep, confirms every key by a point read anyway.
"""

from __future__ import annotations

from projector.core.ranges import MAX_EPK, FeedRange

HIGHEST = 2**63 - 1


def bounds(feed_range: FeedRange) -> tuple[int, int]:
    """Lowest and highest `epk` of the range, both inclusive."""
    low, _ = _halves(feed_range.min)
    if feed_range.max == MAX_EPK:
        return low, HIGHEST
    high, rest = _halves(feed_range.max)
    return low, high if rest else high - 1


def _halves(bound: str) -> tuple[int, int]:
    digits = bound.ljust(32, "0")
    return min(int(digits[:16], 16), HIGHEST), int(digits[16:32], 16)
