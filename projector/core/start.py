"""Where a range begins to read: the setting START_FROM and the order of bookmarks.

The one place that knows the order "requested replay, bookmark, PostgreSQL position,
START_FROM" (docs/explanation/position-with-rows.md). It decides from values only; callers carry
it out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from typing_extensions import override

from projector.core.errors import ConfigurationError
from projector.core.names import Continuation
from projector.core.texts import moment


class StartKind(StrEnum):
    """The three meanings of START_FROM."""

    BEGINNING = "beginning"
    NOW = "now"
    TIME = "time"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartFrom:
    """A start position; `time` (aware, UTC) is set exactly when `kind` is TIME."""

    kind: StartKind
    time: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse a time without zone and a kind that contradicts it."""
        if (self.kind is StartKind.TIME) != (self.time is not None):
            raise ValueError("a start time goes with kind TIME and with no other")
        if self.time is not None and self.time.utcoffset() is None:
            raise ValueError("a start time needs a time zone, for example 2026-01-31T00:00:00Z")

    @override
    def __str__(self) -> str:
        """The text kept in a lease's properties, to see later whether the setting changed."""
        return self.kind.value if self.time is None else self.time.isoformat()


AHEAD_AT_MOST = timedelta(minutes=5)
"""How far a start time may lie in the future: clocks differ, and a person may mean "from now"."""


def check_not_ahead(start: StartFrom, *, now: datetime) -> None:
    """Refuse a start that has not come yet: it would act as `now` at each start, for ever.

    Raises:
        ConfigurationError: The time lies more than five minutes ahead.
    """
    if start.time is None or start.time - now <= AHEAD_AT_MOST:
        return
    raise ConfigurationError(
        f"the start time {start} (PROJECTOR_START_FROM) lies in the future; by the clock of this machine it is"
        f" {moment(now)}. Set a time that has passed, or `now`"
    )


BEGINNING = StartFrom(kind=StartKind.BEGINNING)
NOW = StartFrom(kind=StartKind.NOW)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bookmark:
    """What a lease says of its position.

    `lsn` is None when the continuation cannot be placed; `anchored_from` is the START_FROM
    text while no delivered change has passed it, else None.
    """

    continuation: Continuation
    lsn: int | None
    anchored_from: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far the feed was read: up to here; `continuation` None is its start, `lsn` None unknown."""

    continuation: Continuation | None
    lsn: int | None


class StartReason(StrEnum):
    """Why a range starts over, for the log."""

    REPLAY_REQUESTED = "replay_requested"
    NO_BOOKMARK = "no_bookmark"
    START_FROM_CHANGED = "start_from_changed"
    NO_STORED_POSITION = "no_stored_position"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOver:
    """Begin at START_FROM."""

    reason: StartReason


def decide_start(
    *,
    bookmark: Bookmark | None,
    stored: Position | None,
    replay_requested: bool,
    target_keeps_positions: bool,
    start_from: StartFrom,
) -> StartOver | Position:
    """Choose where a freshly acquired range begins: over again, or after a position.

    `stored` None means that the target has no position that covers the range; with
    `target_keeps_positions` false (a plain handler) the bookmark alone decides.
    """
    if replay_requested:
        return StartOver(reason=StartReason.REPLAY_REQUESTED)
    if bookmark is None:
        return StartOver(reason=StartReason.NO_BOOKMARK)
    if bookmark.anchored_from is not None and bookmark.anchored_from != str(start_from):
        return StartOver(reason=StartReason.START_FROM_CHANGED)
    if not target_keeps_positions:
        return Position(continuation=bookmark.continuation, lsn=bookmark.lsn)
    if stored is None:
        return StartOver(reason=StartReason.NO_STORED_POSITION)
    return _lower(bookmark, stored)


def _lower(bookmark: Bookmark, stored: Position) -> Position:
    """The earlier of the two; a position that cannot be compared loses to the stored one."""
    if (
        stored.continuation is not None
        and stored.lsn is not None
        and bookmark.lsn is not None
        and bookmark.lsn < stored.lsn
    ):
        return Position(continuation=bookmark.continuation, lsn=bookmark.lsn)
    return stored
