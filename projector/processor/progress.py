"""Waiting until every range, whoever owns it, has passed the source's end.

A verdict is as old as its oldest fact, so the facts come in this order: every range was opened under
today's settings by a host that lives, and no replay is open; then the source's end is read; then each
lease and each committed position over its keys lies at or above it. Whatever opens a range anew makes the
end that was read before it too old. Changes that come later do not move an end. Children of a split
go on above their parent's LSN, so an end outlives splits and merges.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import structlog

from projector.core.coverage import overlapping, spare_leases
from projector.core.errors import ConfigurationError
from projector.core.names import LeaseToken
from projector.core.ranges import FeedRange, uncovered
from projector.core.start import BEGINNING, NOW, StartFrom
from projector.ports.feed import ChangeSource, Clock, FeedTarget, LeaseStore
from projector.processor.bootstrap import passes
from projector.processor.events import Event
from projector.processor.waiting import Patience

POLL_SECONDS = 0.25
TELL_SECONDS = 15.0
NAMED_AT_MOST = 5

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceMark:
    """The end of one partition as it was; `lsn` None when the service did not tell it."""

    feed_range: FeedRange
    lsn: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """How far one live range has come.

    Attributes:
        started: a position is known, even if it cannot be placed.
        lsn: the position as a number, None when it has none.
        replaying: a replay was asked for or is open.
        opened: a host that lives holds it and has opened it.
        anchored_from: START_FROM text while no delivered change has passed the position, else None.
        owner: who holds it, for whoever wonders what is waited for.
    """

    feed_range: FeedRange
    started: bool
    lsn: int | None
    replaying: bool = False
    opened: bool = True
    anchored_from: str | None = None
    owner: str | None = None


class Obstacle(StrEnum):
    """Why it is not caught up yet."""

    NOT_OPENED = "not_opened"
    OTHER_START_FROM = "other_start_from"
    REPLAYING = "replaying"
    BEHIND = "behind"
    BEYOND_THE_END = "beyond_the_end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstructed:
    """What is waited for, and where."""

    obstacle: Obstacle
    ranges: tuple[str, ...] = ()


async def wait_until_caught_up(
    *,
    source: ChangeSource,
    leases: LeaseStore,
    clock: Clock,
    start_from: StartFrom,
    committed: Callable[[], Awaitable[Sequence[Reached]]] | None = None,
    poll_seconds: float = POLL_SECONDS,
) -> None:
    """Return when all ranges are open, swept, and past the end as it stood after that.

    Args:
        source: the container.
        leases: the processor's leases.
        clock: for waiting.
        start_from: today's setting; a range that was only anchored under another one has to be
            opened again before its position counts.
        committed: the live ranges of a target that keeps positions; None where the leases are
            all there is.
        poll_seconds: how often to look.

    Outages and splits are waited out; other errors are raised, ConfigurationError for a lease that
    nobody can read.
    """
    verdict = _Verdict(source=source, leases=leases, start_from=start_from, committed=committed)
    tell_at = clock.monotonic() + TELL_SECONDS
    patience = Patience(clock=clock, draw=lambda: 0.0, helps=passes)
    while (found := await patience.until_done(verdict.look)) is not None:
        if clock.monotonic() >= tell_at:
            tell_at = clock.monotonic() + TELL_SECONDS
            _tell(found)
        await clock.sleep(poll_seconds)
    log.info(Event.CAUGHT_UP, ranges=len(verdict.marks or ()))


def _tell(found: Obstructed) -> None:
    """What waiting alone does not end is a warning."""
    tell = log.warning if found.obstacle is Obstacle.OTHER_START_FROM else log.info
    tell(Event.NOT_CAUGHT_UP, waits_for=found.obstacle.value, ranges=list(found.ranges))


class _Verdict:
    """Looks again and again; remembers the end that was read last."""

    def __init__(
        self,
        *,
        source: ChangeSource,
        leases: LeaseStore,
        start_from: StartFrom,
        committed: Callable[[], Awaitable[Sequence[Reached]]] | None,
    ) -> None:
        self._source = source
        self._leases = leases
        self._start_from = str(start_from)
        self._committed = committed
        self.marks: Sequence[SourceMark] | None = None

    async def look(self) -> Obstructed | None:
        """What is in the way now; None when it is caught up.

        1. Ranges that have to be opened or swept make an end of before useless. 2. The end is read
        once all are. 3. Positions are read after it. 4. A position above the end is no sign of having
        read everything but of a source that went back, unless a newer end says otherwise.
        """
        found = self._undecided(await self._positions())
        if found is not None:
            self.marks = None
            return found
        if self.marks is None:
            self.marks = await take_marks(self._source)
        positions = await self._positions()
        found = self._undecided(positions) or behind(self.marks, positions)
        if found is None and beyond(self.marks, positions):
            found = beyond(await take_marks(self._source), positions)
        return found

    async def _positions(self) -> Sequence[Sequence[Reached]]:
        bookmarks = await _bookmarks(self._source, self._leases)
        return [bookmarks] if self._committed is None else [bookmarks, await self._committed()]

    def _undecided(self, positions: Sequence[Sequence[Reached]]) -> Obstructed | None:
        return next(
            filter(None, (undecided(ranges, self._start_from) for ranges in positions)), None
        )


async def take_marks(source: ChangeSource) -> Sequence[SourceMark]:
    """The source's end, partition by partition, as it is now."""
    marks = []
    for part in await source.physical_ranges():
        target = FeedTarget(
            lease_token=LeaseToken(part.id), feed_range=part.feed_range, range_id=part.id
        )
        anchor = await source.resolve(target, NOW)
        marks.append(SourceMark(feed_range=part.feed_range, lsn=anchor.lsn))
    return marks


def undecided(ranges: Sequence[Reached], start_from: str) -> Obstructed | None:
    """What is yet to be decided about some range, so that its position may still go back.

    One that was read from the beginning has read what any other start would have.
    """
    if not ranges:
        return Obstructed(obstacle=Obstacle.NOT_OPENED)
    return (
        _where(Obstacle.NOT_OPENED, [one for one in ranges if not one.opened])
        or _where(
            Obstacle.OTHER_START_FROM,
            [one for one in ranges if one.anchored_from not in {None, str(BEGINNING), start_from}],
        )
        or _where(Obstacle.REPLAYING, [one for one in ranges if one.replaying])
    )


def behind(
    marks: Sequence[SourceMark], positions: Sequence[Sequence[Reached]]
) -> Obstructed | None:
    """The ranges that have not passed their marks; keys without a range were never opened."""
    for ranges in positions:
        for mark in marks:
            over = [one for one in ranges if one.feed_range.overlaps(mark.feed_range)]
            gaps = uncovered(mark.feed_range, [one.feed_range for one in over])
            if gaps:
                return Obstructed(obstacle=Obstacle.NOT_OPENED, ranges=tuple(map(str, gaps)))
            found = _where(Obstacle.BEHIND, [one for one in over if not _passed(one, mark.lsn)])
            if found is not None:
                return found
    return None


def beyond(
    marks: Sequence[SourceMark], positions: Sequence[Sequence[Reached]]
) -> Obstructed | None:
    """The ranges whose position lies above the end, where the source has nothing."""
    return _where(
        Obstacle.BEYOND_THE_END,
        [
            one
            for ranges in positions
            for one in ranges
            for mark in marks
            if one.feed_range.overlaps(mark.feed_range)
            and one.lsn is not None
            and mark.lsn is not None
            and one.lsn > mark.lsn
        ],
    )


def _where(obstacle: Obstacle, ranges: Sequence[Reached]) -> Obstructed | None:
    if not ranges:
        return None
    named = tuple(
        f"{one.feed_range} of {one.owner}" if one.owner else str(one.feed_range)
        for one in ranges[:NAMED_AT_MOST]
    )
    return Obstructed(obstacle=obstacle, ranges=named)


def _passed(reached: Reached, lsn: int | None) -> bool:
    if lsn is None:
        return reached.started
    return reached.lsn is not None and reached.lsn >= lsn


async def _bookmarks(source: ChangeSource, leases: LeaseStore) -> list[Reached]:
    listed = await leases.list_leases()
    if overlapping(listed):
        spare = spare_leases(listed, await source.physical_ranges())
        listed = [lease for lease in listed if lease.token not in spare]
    for lease in listed:
        if lease.unreadable is not None:
            raise ConfigurationError(lease.unreadable)
    return [
        Reached(
            feed_range=lease.feed_range,
            started=lease.continuation is not None,
            lsn=None if lease.continuation is None else source.lsn_of(lease.continuation),
            opened=lease.owner is not None,
            anchored_from=lease.anchored_from,
            owner=lease.owner,
        )
        for lease in listed
        if lease.feed_range is not None
    ]
