"""A feed range as a person reads it: which share of the key space it holds.

Cosmos DB spreads hashed partition keys evenly over 126 bits, written as 32 hexadecimal digits from
`` (nothing) to `FF`. Keys of the first hash version are not spread over these bits; their ranges
are shown by the first digits of their bounds.
Source: docs/reference/lease-document.md; the ranges of accounts with hash version 2.
"""

from __future__ import annotations

from projector.core.ranges import FeedRange

DIGITS = 32
WHOLE = 1 << 126
SHOWN_DIGITS = 8


def share(keys: FeedRange) -> str:
    """Returns `25-50%`, or `05C1A5D2...-05C1F0E1...` where shares mean nothing."""
    low, high = _fraction(keys.min), _fraction(keys.max)
    if low is None or high is None:
        return f"{_cut(keys.min) or '00'}-{_cut(keys.max)}"
    digits = 3
    while f"{low:.{digits}g}" == f"{high:.{digits}g}" and digits < DIGITS:
        digits += 1
    return f"{low:.{digits}g}-{high:.{digits}g}%"


def _fraction(bound: str) -> float | None:
    """Percent of the key space below this bound; None for a bound outside of it."""
    if bound == "":
        return 0.0
    if bound == "FF":
        return 100.0
    place = int(bound[:DIGITS].ljust(DIGITS, "0"), 16)
    return 100 * place / WHOLE if place <= WHOLE else None


def _cut(bound: str) -> str:
    return f"{bound[:SHOWN_DIGITS]}..." if len(bound) > SHOWN_DIGITS else bound
