"""The physical partitions of a container, read afresh through public arguments only.

`read_feed_ranges(force_refresh=True)` makes the SDK drop its routing map, which all clients of
a process share, and read it anew; a hook sees that answer, which also names the ids and parents
that the SDK keeps to itself.
Source: wire reference, sections 1.4 and 8.13.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from azure.cosmos.aio import ContainerProxy

from projector.core.ranges import FULL_RANGE, FeedRange, uncovered
from projector.cosmos.faults import Place, Refusal, reason_of, refused
from projector.cosmos.wire import FIRST_ERROR, FIRST_OUTAGE, PARTITION_KEY_RANGES, Answer, Exchange
from projector.ports.feed import PhysicalRange


class _Range(msgspec.Struct):
    id: str
    minInclusive: str  # noqa: N815  # the service's spelling
    maxExclusive: str  # noqa: N815  # the same
    parents: list[str] | None = None


class _Ranges(msgspec.Struct):
    PartitionKeyRanges: list[_Range]


async def read_physical_ranges(
    container: ContainerProxy, place: Place
) -> Sequence[PhysicalRange] | None:
    """The live partitions, lowest first.

    None when another task refreshed the map in between, or the answer does not cover the whole
    key space (a split under way): ask again.
    """
    seen: dict[str, _Range] = {}

    def judge(answer: Answer) -> None:
        if FIRST_ERROR <= answer.status < FIRST_OUTAGE:
            raise refused(_refusal(answer), place)
        if answer.body:
            for entry in msgspec.json.decode(answer.body, type=_Ranges).PartitionKeyRanges:
                seen[entry.id] = entry

    exchange = Exchange(check=_anything, judge=judge, resource_type=PARTITION_KEY_RANGES)
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


def _anything(_headers: Mapping[str, str]) -> None:
    """Every request may go."""


def _refusal(answer: Answer) -> Refusal:
    return Refusal(
        status=answer.status,
        substatus=answer.substatus,
        reason=reason_of(answer.body),
        retry_after_seconds=answer.retry_after_seconds,
    )
