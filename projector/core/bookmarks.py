"""Bookmarks that were saved: where each range stood, and how far it may go back there.

A position is an offset into the order of one partition's changes. Children of a split go on in the order
of their parent, and those of a merge in that of both, so a range of today may take any position that was
saved for its keys: the lowest of them, if there are several, delivers whatever any of them would. To go
back only reads again what is known, and a version that is known changes nothing. To go forward would
pass over changes that nobody has read: it is refused, as is what cannot be compared. But for one case: a
range that is read again since the moment of the snapshot had been read up to there before.

Source: docs/howto/bookmarks.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from projector.core.errors import ConfigurationError
from projector.core.names import Continuation, LeaseToken, SourceName
from projector.core.ranges import FULL_RANGE, FeedRange, uncovered
from projector.core.start import Position

OF_RESETS = r"^before-reset-\d{8}T\d{6}\.\d{6}Z$"
"""Names that a reset gives; whatever else a snapshot is called, a person has named it."""


def before_reset(now: datetime) -> str:
    """Under which name a reset of now keeps where the ranges are."""
    return f"before-reset-{now:%Y%m%dT%H%M%S.%fZ}"


class Held(Protocol):
    """A range that holds keys since it was opened."""

    @property
    def feed_range(self) -> FeedRange:
        """Its keys, those that others hold by now included."""

    @property
    def opened_epoch(self) -> int:
        """Orders ranges by age."""


class Stored(Held, Protocol):
    """The same as the target keeps it; `projector.ports.ranges.StoredRange` is one."""

    @property
    def range_id(self) -> int:
        """The target's own id."""

    @property
    def lease_token(self) -> LeaseToken:
        """Its lease."""

    @property
    def position(self) -> Position | None:
        """As committed last; None until it has begun."""

    @property
    def position_time(self) -> datetime | None:
        """Time of the newest change before it."""

    @property
    def replay_since(self) -> datetime | None:
        """When the replay that is open was asked for; None: there is none."""


H = TypeVar("H", bound=Held)


def held(whole: FeedRange, ranges: Iterable[H]) -> list[tuple[H, Sequence[FeedRange]]]:
    """Who holds the keys of `whole`, newest first, each with those that it holds.

    A key belongs to the range that was opened last among those that cover it.
    """
    found: list[tuple[H, Sequence[FeedRange]]] = []
    left: Sequence[FeedRange] = [whole]
    for one in sorted(ranges, key=lambda each: each.opened_epoch, reverse=True):
        own = [part.clip(one.feed_range) for part in left if part.overlaps(one.feed_range)]
        if own:
            found.append((one, own))
            left = [rest for part in left for rest in uncovered(part, [one.feed_range])]
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedPosition:
    """How far the feed of some keys was read.

    Attributes:
        time: of the newest change before it, where it is known.
        since: what was changed from this time on lies behind it, where that is known.
    """

    feed_range: FeedRange
    continuation: Continuation
    lsn: int
    time: datetime | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Positions for all keys, taken at once.

    Attributes:
        container_rid, source: of the container that was read; its name where it was known.
        target_id, target_name: the database that the rows went to.
        positions: lowest keys first.
    """

    name: str
    taken_at: datetime
    container_rid: str
    source: SourceName | None
    target_id: str
    target_name: str
    positions: tuple[SavedPosition, ...]

    def position_of(self, keys: FeedRange | Sequence[FeedRange]) -> SavedPosition:
        """The lowest position that was saved for some of these keys, as a position for all of them.

        Raises:
            ConfigurationError: Nothing was saved for some of them.
        """
        wanted = [keys] if isinstance(keys, FeedRange) else keys
        over = [one for one in self.positions if any(one.feed_range.overlaps(k) for k in wanted)]
        if not over or any(uncovered(k, [one.feed_range for one in over]) for k in wanted):
            raise ConfigurationError(
                f"the bookmarks of {self.name!r} do not cover the keys {_shown(wanted)}"
            )
        lowest = min(over, key=lambda one: one.lsn)
        whole = FeedRange(min=min(k.min for k in wanted), max=max(k.max for k in wanted))
        return SavedPosition(
            feed_range=whole,
            continuation=lowest.continuation,
            lsn=lowest.lsn,
            time=lowest.time,
            since=lowest.since,
        )


def positions_of(stored: Sequence[Stored]) -> tuple[SavedPosition, ...]:
    """Where all keys stand, given every stored range, those included that were split away.

    Raises:
        ConfigurationError: Some keys were not begun to be read, or their position has no number.
    """
    holders = held(FULL_RANGE, stored)
    gaps = uncovered(FULL_RANGE, [part for _, parts in holders for part in parts])
    if gaps:
        raise ConfigurationError(
            f"nobody has opened the keys {_shown(gaps)} yet: start a host first"
        )
    found = []
    for one, parts in holders:
        position = one.position
        if position is None or position.continuation is None or position.lsn is None:
            raise ConfigurationError(
                f"range {one.lease_token} has no position yet that could be saved: it is at the start of"
                " its feed, or about to go there; wait until it has read something"
            )
        found += [
            SavedPosition(
                feed_range=part,
                continuation=position.continuation,
                lsn=position.lsn,
                time=one.position_time,
            )
            for part in parts
        ]
    return tuple(sorted(found, key=lambda one: one.feed_range))


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One stored range that goes back.

    Attributes:
        keys: those which it holds.
        came_to: its position, None while it has not begun.
        position: a position for those of its keys that are to be read again.
        undoes: its replay was asked for at the moment of the snapshot, and ends by this.
    """

    range_id: int
    lease_token: LeaseToken
    keys: Sequence[FeedRange]
    came_to: Position | None
    position: SavedPosition
    undoes: bool = False

    @property
    def obstacle(self) -> str | None:
        """Why it may not go there; None when it may."""
        if self.undoes:
            return None
        if self.came_to is None:
            return "is to be read from its start position and has not begun"
        if self.came_to.continuation is None:
            return "has only begun to be read from the start of the feed"
        if self.came_to.lsn is None:
            return "stands at a position that cannot be compared"
        if self.came_to.lsn < self.position.lsn:
            return f"has come to LSN {self.came_to.lsn}, which is before {self.position.lsn}"
        return None


def moves(
    stored: Sequence[Stored], snapshot: Snapshot, keys: Sequence[FeedRange] | None = None
) -> list[Move]:
    """What has to go back so that these keys are read again from there; None: all keys.

    Args:
        stored: every stored range of the container, those that were split away included.
        snapshot: where to.
        keys: a range that holds more than these goes back as a whole.
    """
    wanted = [FULL_RANGE] if keys is None else keys
    found = [
        Move(
            range_id=one.range_id,
            lease_token=one.lease_token,
            keys=parts,
            came_to=one.position,
            position=snapshot.position_of(_of(parts, wanted)),
            undoes=one.replay_since == snapshot.taken_at,
        )
        for one, parts in held(FULL_RANGE, stored)
        if _of(parts, wanted)
    ]
    return sorted(found, key=lambda one: one.position.feed_range)


def refuse_forward(wanted: Sequence[Move]) -> None:
    """Refuse all of it if one range would go forward.

    Raises:
        ConfigurationError: Changes would be passed over that nobody has read.
    """
    refused = [f"range {one.lease_token} {one.obstacle}" for one in wanted if one.obstacle]
    if refused:
        raise ConfigurationError(
            f"nothing was moved, since a bookmark may only go back: {'; '.join(refused)}. To go forward"
            " would pass over changes that were never read: let hosts read on, or name the ranges that"
            " are to go back with --range"
        )


def _of(parts: Sequence[FeedRange], wanted: Sequence[FeedRange]) -> list[FeedRange]:
    return [part.clip(one) for part in parts for one in wanted if part.overlaps(one)]


def _shown(keys: Sequence[FeedRange]) -> str:
    return ", ".join(map(str, keys))
