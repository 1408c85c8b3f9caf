"""Continuations of the feed: plain etags outside this package, composite tokens for the SDK.

A lease holds the raw etag as the service wrote it (`"1543"`, with its quotes), as .NET's does.
The SDK wants a composite token around it; a bare etag would take its old path, which sends no
range at all (trap T5). Tokens are built here and never read back from the SDK, so its tokens
that cannot be parsed again (traps T1, T2) never come to be.
Source: azure-cosmos 4.17.1; tests/integration/cosmos/test_traps.py shows the traps.

The physical partitions of a container, from the answer that the SDK makes its routing map of.

The answer names the ids and parents that the SDK keeps to itself.
Source: `ContainerProxy.read_feed_ranges` of azure-cosmos 4.17.1.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Sequence

import msgspec

from projector.core.errors import ContinuationRefused
from projector.core.names import Continuation
from projector.core.ranges import FULL_RANGE, FeedRange, uncovered
from projector.cosmos.wire import HTTP_OK, Answer
from projector.ports.feed import PhysicalRange

_ETAG_NUMBER = re.compile(r'"?([0-9]{1,19})"?')
_HEADER_TEXT = re.compile(r"[\x21-\x7e]{1,4096}")


def lsn_of(continuation: Continuation) -> int | None:
    """The etag as a number; None for any other form."""
    match = _ETAG_NUMBER.fullmatch(continuation)
    return int(match[1]) if match else None


def at_lsn(lsn: int) -> Continuation:
    """The position after that LSN, in the service's form."""
    return Continuation(f'"{lsn}"')


def composite(continuation: Continuation, feed_range: FeedRange, container_rid: str) -> str:
    """The SDK's token for one range after one etag.

    Raises:
        ContinuationRefused: It is no etag: `*` would mean now, a composite token of another SDK
            or text that no header can carry would be refused by the service.
    """
    if continuation == "*" or not _HEADER_TEXT.fullmatch(continuation):
        raise ContinuationRefused(f"{continuation[:40]!r} is no position in a change feed")
    if foreign_state(continuation):
        raise ContinuationRefused("the bookmark holds the state of another SDK, not an etag")
    bounds = feed_range_json(feed_range)["Range"]
    token = {
        "v": "v2",
        "containerRid": container_rid,
        "mode": "LatestVersion",
        "startFrom": {"Type": "Beginning"},
        "continuation": {
            "v": "v2",
            "rid": container_rid,
            "continuation": [{"token": continuation, "range": bounds}],
            "Range": bounds,
        },
    }
    return base64.b64encode(json.dumps(token).encode()).decode()


def feed_range_json(feed_range: FeedRange) -> dict[str, dict[str, str | bool]]:
    """A feed range as the SDK takes it."""
    return {
        "Range": {
            "min": feed_range.min,
            "max": feed_range.max,
            "isMinInclusive": True,
            "isMaxInclusive": False,
        }
    }


def foreign_state(text: str) -> bool:
    """Whether the text is the Base64 JSON state that the Java and Python SDKs keep."""
    if text.startswith('"') or text.isdigit():
        return False
    padded = text + "=" * (-len(text) % 4)
    try:
        return base64.b64decode(padded, altchars=b"-_", validate=True).lstrip().startswith(b"{")
    except (binascii.Error, ValueError):
        pass
    try:
        return base64.b64decode(padded, validate=True).lstrip().startswith(b"{")
    except (binascii.Error, ValueError):
        return False


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
