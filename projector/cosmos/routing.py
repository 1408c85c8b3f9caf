"""The physical partitions of a container, from the answer that the SDK makes its routing map of.

The answer names the ids and parents that the SDK keeps to itself.
Source: `ContainerProxy.read_feed_ranges` of azure-cosmos 4.17.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from projector.core.ranges import FULL_RANGE, FeedRange, uncovered
from projector.cosmos.wire import HTTP_OK, Answer
from projector.ports.feed import PhysicalRange


class _Range(msgspec.Struct):
    id: str
    minInclusive: str  # noqa: N815  # the service's spelling
    maxExclusive: str  # noqa: N815  # the same
    parents: list[str] | None = None


class _Ranges(msgspec.Struct):
    PartitionKeyRanges: list[_Range]


class Routes:
    """The routing map as the answers to one reading tell it."""

    def __init__(self, *, judge: Callable[[Answer], None]) -> None:
        """Take what raises for an answer that is none."""
        self._judge = judge
        self._seen: dict[str, _Range] = {}

    def keep(self, answer: Answer) -> None:
        """Take an answer."""
        self._judge(answer)
        if answer.status == HTTP_OK:
            for entry in msgspec.json.decode(answer.body, type=_Ranges).PartitionKeyRanges:
                self._seen[entry.id] = entry

    def live(self) -> Sequence[PhysicalRange] | None:
        """The partitions that are nobody's parent, lowest first.

        None when another task refreshed the map in between, or the answer does not cover the whole
        key space (a split under way): read again.
        """
        seen = self._seen.values()
        retired = {parent for entry in seen for parent in entry.parents or ()}
        live = sorted(
            (
                PhysicalRange(
                    id=entry.id,
                    feed_range=FeedRange(min=entry.minInclusive, max=entry.maxExclusive),
                    parents=tuple(entry.parents or ()),
                )
                for entry in seen
                if entry.id not in retired
            ),
            key=lambda one: one.feed_range,
        )
        return None if uncovered(FULL_RANGE, (one.feed_range for one in live)) else live
