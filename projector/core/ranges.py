"""Feed ranges: half-open intervals of effective partition keys.

Keys are upper-case hexadecimal text compared as text; "" is the lowest bound and "FF" the
highest. Source: Cosmos DB partition key ranges (`minInclusive`, `maxExclusive`).

A feed range as a person reads it: which share of the key space it holds.

Cosmos DB spreads hashed partition keys evenly over 126 bits, written as 32 hexadecimal digits from
`` (nothing) to `FF`. Keys of the first hash version are not spread over these bits; their ranges
are shown by the first digits of their bounds.
Source: docs/reference/lease-document.md; the ranges of accounts with hash version 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from typing_extensions import override

MIN_EPK = ""
MAX_EPK = "FF"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class FeedRange:
    """The keys from `min` (inclusive) to `max` (exclusive)."""

    min: str
    max: str

    def __post_init__(self) -> None:
        """Refuse an empty or inverted interval."""
        if not self.min < self.max:
            raise ValueError(f"feed range [{self.min!r}, {self.max!r}) is empty")

    def overlaps(self, other: FeedRange) -> bool:
        """Whether some key lies in both."""
        return self.min < other.max and other.min < self.max

    def covers(self, other: FeedRange) -> bool:
        """Whether every key of `other` lies in this range."""
        return self.min <= other.min and other.max <= self.max

    def contains(self, epk: str) -> bool:
        """Whether this effective partition key lies in the range."""
        return self.min <= epk < self.max

    def clip(self, other: FeedRange) -> FeedRange:
        """The part of `other` inside this range; raises ValueError when there is none."""
        return FeedRange(min=max(self.min, other.min), max=min(self.max, other.max))

    @override
    def __str__(self) -> str:
        """The range as a v1 lease token writes it."""
        return f"{self.min}-{self.max}"


FULL_RANGE = FeedRange(min=MIN_EPK, max=MAX_EPK)


def uncovered(whole: FeedRange, parts: Iterable[FeedRange]) -> Sequence[FeedRange]:
    """The gaps that `parts` leave in `whole`, lowest first; empty when fully covered."""
    gaps: list[FeedRange] = []
    reached = whole.min
    for part in sorted(parts):
        if part.max <= reached:
            continue
        if part.min >= whole.max:
            break
        if part.min > reached:
            gaps.append(FeedRange(min=reached, max=part.min))
        reached = part.max
    if reached < whole.max:
        gaps.append(FeedRange(min=reached, max=whole.max))
    return gaps


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
    number = int(bound[:DIGITS].ljust(DIGITS, "0"), 16)
    return 100 * number / WHOLE if number <= WHOLE else None


def _cut(bound: str) -> str:
    return f"{bound[:SHOWN_DIGITS]}..." if len(bound) > SHOWN_DIGITS else bound
