"""Feed ranges: half-open intervals of effective partition keys.

Keys are upper-case hexadecimal text compared as text; "" is the lowest bound and "FF" the
highest. Source: Cosmos DB partition key ranges (`minInclusive`, `maxExclusive`).
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
