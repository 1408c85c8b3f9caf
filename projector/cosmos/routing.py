"""The physical partitions of a container, read afresh through public arguments only.

`read_feed_ranges(force_refresh=True)` makes the SDK drop its routing map, which all clients of
a process share, and read it anew; a hook sees that answer, which also names the ids and parents
that the SDK keeps to itself.
Source: `ContainerProxy.read_feed_ranges` of azure-cosmos 4.17.1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from azure.cosmos.aio import ContainerProxy

from projector.core.ranges import FULL_RANGE, FeedRange, uncovered
from projector.cosmos.wire import HTTP_OK, PARTITION_KEY_RANGES, Answer, Exchange
from projector.ports.feed import PhysicalRange


class _Range(msgspec.Struct):
    id: str
    minInclusive: str  # noqa: N815  # the service's spelling
    maxExclusive: str  # noqa: N815  # the same
    parents: list[str] | None = None


class _Ranges(msgspec.Struct):
    PartitionKeyRanges: list[_Range]


async def read_physical_ranges(
    container: ContainerProxy,
    *,
    check: Callable[[Mapping[str, str]], None],
    judge: Callable[[Answer], None],
) -> Sequence[PhysicalRange] | None:
    """The live partitions, lowest first; `check` and `judge` as in `Exchange`.

    None when another task refreshed the map in between, or the answer does not cover the whole
    key space (a split under way): ask again.
    """
    seen: dict[str, _Range] = {}

    def keep(answer: Answer) -> None:
        judge(answer)
        if answer.status == HTTP_OK:
            for entry in msgspec.json.decode(answer.body, type=_Ranges).PartitionKeyRanges:
                seen[entry.id] = entry

    exchange = Exchange(check=check, judge=keep, resource_type=PARTITION_KEY_RANGES)
    hooks: dict[str, Any] = exchange.hooks
    async for _ in container.read_feed_ranges(force_refresh=True, **hooks):
        pass
    return _live(seen)


def _live(seen: Mapping[str, _Range]) -> Sequence[PhysicalRange] | None:
    """Those that are nobody's parent, if they tile the key space."""
    retired = {parent for entry in seen.values() for parent in entry.parents or ()}
    live = sorted(
        (
            PhysicalRange(
                id=entry.id,
                feed_range=FeedRange(min=entry.minInclusive, max=entry.maxExclusive),
                parents=tuple(entry.parents or ()),
            )
            for entry in seen.values()
            if entry.id not in retired
        ),
        key=lambda one: one.feed_range,
    )
    return None if uncovered(FULL_RANGE, (one.feed_range for one in live)) else live
