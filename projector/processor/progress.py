"""Waiting until every range, whoever owns it, has passed the source's end of a moment ago.

The marks are taken once, at the start; changes that come later do not move them. A range has
passed when each lease over its keys, and each committed place of the target over its keys, is
at or above the mark, and no replay there is still open. Children of a split go on above their
parent's LSN, so a mark outlives splits and merges.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from projector.core.errors import ConfigurationError, ProjectorError
from projector.core.names import LeaseToken
from projector.core.ranges import FeedRange, uncovered
from projector.core.start import NOW
from projector.ports.feed import ChangeSource, Clock, FeedTarget, LeaseStore
from projector.processor.bootstrap import passes
from projector.processor.events import Event

POLL_SECONDS = 0.25

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
        started: a place is known, even if it cannot be placed.
        lsn: the place as a number, None when it has none.
        replaying: a replay was asked for or is open.
    """

    feed_range: FeedRange
    started: bool
    lsn: int | None
    replaying: bool = False


async def wait_until_caught_up(
    *,
    source: ChangeSource,
    leases: LeaseStore,
    clock: Clock,
    committed: Callable[[], Awaitable[Sequence[Reached]]] | None = None,
    poll_seconds: float = POLL_SECONDS,
) -> None:
    """Return when all ranges have passed the end as it stands at the call.

    Args:
        source: the container.
        leases: the processor's leases.
        clock: for waiting.
        committed: the live ranges of a target that keeps positions; None where the leases are
            all there is.
        poll_seconds: how often to look.

    Outages and splits are waited out; other errors are raised, ConfigurationError for a lease that
    nobody can read.
    """
    marks: Sequence[SourceMark] | None = None
    while True:
        try:
            marks = await take_marks(source) if marks is None else marks
            if passed(marks, await _bookmarks(source, leases)) and (
                committed is None or passed(marks, await committed())
            ):
                log.info(Event.CAUGHT_UP, ranges=len(marks))
                return
        except ProjectorError as error:
            if not passes(error):
                raise
        await clock.sleep(poll_seconds)


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


def passed(marks: Sequence[SourceMark], ranges: Sequence[Reached]) -> bool:
    """Whether the ranges cover all marked keys and each is at or above its mark."""
    return all(_mark_passed(mark, ranges) for mark in marks)


def _mark_passed(mark: SourceMark, ranges: Sequence[Reached]) -> bool:
    over = [reached for reached in ranges if reached.feed_range.overlaps(mark.feed_range)]
    if uncovered(mark.feed_range, [reached.feed_range for reached in over]):
        return False
    return all(not reached.replaying and _beyond(reached, mark.lsn) for reached in over)


def _beyond(reached: Reached, lsn: int | None) -> bool:
    if lsn is None:
        return reached.started
    return reached.lsn is not None and reached.lsn >= lsn


async def _bookmarks(source: ChangeSource, leases: LeaseStore) -> list[Reached]:
    listed = await leases.list_leases()
    for lease in listed:
        if lease.unreadable is not None:
            raise ConfigurationError(lease.unreadable)
    return [
        Reached(
            feed_range=lease.feed_range,
            started=lease.continuation is not None,
            lsn=None if lease.continuation is None else source.lsn_of(lease.continuation),
        )
        for lease in listed
        if lease.feed_range is not None
    ]
