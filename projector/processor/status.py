"""The condition of one range while it is read: waits, progress and the last failure.

The roles of a range write here; reports, the sweep and the watchdog read. A wait belongs to
the role that declared it; the state shown is the gravest one. A gap is 0 only while the last
poll showed that nothing is unread, and unknown while the source does not answer: it says so
(throttled), it is down, or a read of it has no answer yet for longer than a healthy one takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from enum import StrEnum

import structlog

from projector.core.coverage import Physical
from projector.core.errors import HandlerFailed, LeaseError, ProjectorError, SinkError
from projector.core.lease import Lease
from projector.core.names import Epoch, InstanceName
from projector.core.ranges import FULL_RANGE
from projector.core.start import Position
from projector.core.states import (
    FailureCategory,
    RangeFailure,
    RangeState,
    gap_after_position,
    lag_seconds,
)
from projector.ports.feed import Applied, Clock, Grant, Page, RangeReport, ReadThrough
from projector.processor.events import Event

USUAL = frozenset({RangeState.STARTING, RangeState.SWEEPING})
"""Every range passes through these; what ends them is worth a line to developers only."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Role(StrEnum):
    """Who waits or works for a range."""

    OPENER = "opener"
    READER = "reader"
    APPLIER = "applier"
    SWEEPER = "sweeper"


_GRAVEST_FIRST = (
    RangeState.SOURCE_RECREATED,
    RangeState.STOPPED,
    RangeState.FENCED_OUT,
    RangeState.WAITING_FOR_TARGET,
    RangeState.WAITING_FOR_SOURCE,
    RangeState.THROTTLED,
    RangeState.STARTING,
    RangeState.SWEEPING,
)

_SOURCE_SILENT = frozenset(
    {
        RangeState.WAITING_FOR_SOURCE,
        RangeState.THROTTLED,
        RangeState.SOURCE_RECREATED,
        RangeState.STARTING,
    }
)

ANSWER_SECONDS = 5.0
"""A read without an answer for that long says that nothing is known of the source now."""


class RangeStatus:
    """Mutable, owned by one supervisor."""

    def __init__(self, *, lease: Lease, owner: InstanceName, clock: Clock) -> None:
        self._lease = lease
        self._owner = owner
        self._clock = clock
        self._waits: dict[Role, RangeState] = {Role.OPENER: RangeState.STARTING}
        self._state = RangeState.STARTING
        self._state_since = clock.now()
        self._report = RangeReport(
            lease_token=lease.token,
            feed_range=lease.feed_range or FULL_RANGE,
            owner=owner,
            state=RangeState.STARTING,
            state_since=self._state_since,
            epoch=Epoch(0),
        )
        self._home: Physical | None = None
        self._newest_time: datetime | None = None
        self._caught_up = False
        self._started = False
        self.attempts: dict[Role, float] = {}
        """Monotonic start of each call that has not returned yet."""
        self.is_waiting_for_units = False
        self.moved_at = clock.monotonic()
        """Monotonic time of the last progress, or of the last end of a declared wait."""
        self.committed = Position(continuation=None, lsn=None)
        self.session_token: str | None = None
        """How far the service was at the last page: no point read of a sweep may be older."""
        self.committed_event = asyncio.Event()
        """Set on each commit; the sweep clears it."""

    @property
    def state(self) -> RangeState:
        """The gravest wait, or READING."""
        return self._state

    @property
    def caught_up(self) -> bool:
        """Whether the last poll showed that everything is committed."""
        return self._caught_up

    @property
    def behind(self) -> bool:
        """Whether something is known to be unread or uncommitted."""
        gap = gap_after_position(session_lsn=self._report.session_lsn, lsn=self.committed.lsn)
        return not self._caught_up and gap != 0

    @contextmanager
    def attempt(self, role: Role) -> Iterator[None]:
        """Mark a call to a neighbour that might hang."""
        self.attempts[role] = self._clock.monotonic()
        try:
            yield
        finally:
            del self.attempts[role]

    @contextmanager
    def waiting_for_units(self) -> Iterator[None]:
        """Mark a wait for request units of our own limit: the range stands, and nothing is amiss."""
        began, self.is_waiting_for_units = self._clock.monotonic(), True
        try:
            yield
        finally:
            now, self.is_waiting_for_units = self._clock.monotonic(), False
            self.moved_at = min(now, self.moved_at + now - began)

    def wait(self, role: Role, state: RangeState, error: Exception | None = None) -> bool:
        """Declare that this role waits, and why; whether that is new."""
        new = self._waits.get(role) is not state
        self._waits[role] = state
        if error is not None:
            self.note(error)
            if new:
                log.warning(
                    Event.RANGE_WAITING,
                    lease=self._lease.token,
                    state=state.value,
                    error=f"{type(error).__name__}: {error}",
                )
        self._changed()
        return new

    def go_on(self, role: Role) -> None:
        """End this role's wait."""
        if self._waits.pop(role, None) is not None:
            self.moved_at = self._clock.monotonic()
            before = self._state
            self._changed()
            if before is not self._state is RangeState.READING:
                tell = log.debug if before in USUAL else log.info
                tell(Event.RANGE_GOES_ON, lease=self._lease.token, after=before.value)

    def note(self, error: Exception) -> None:
        """Keep the last failure; one of the same kind and text adds to its count."""
        last = self._report.failure
        failure = RangeFailure(
            category=_category(error),
            error_type=type(error).__name__,
            message=str(error),
            first_seen_at=self._clock.now(),
        )
        if last and (last.error_type, last.message) == (failure.error_type, failure.message):
            failure = replace(last, count=last.count + 1)
        self._report = replace(self._report, failure=failure)

    def reopening(self) -> None:
        """The range is being opened anew: until then no epoch of it, and no end of it, is ours."""
        self._report = replace(
            self._report,
            epoch=Epoch(0),
            range_id=0,
            replay_open=None,
            session_lsn=None,
            caught_up_at=None,
            read_through=None,
        )
        self._caught_up = False
        self._newest_time = None
        self._started = False

    def granted(self, grant: Grant) -> None:
        """The target knows the range under this epoch from now on."""
        self._report = replace(self._report, epoch=grant.epoch, range_id=grant.range_id)

    def started(self, position: Position, *, replay_open: bool, home: Physical) -> None:
        """Reading begins after `position`, in that partition until the range is opened anew.

        The position itself may be counted by the partition's parent.
        """
        self.committed = position
        self._home = home
        self._started = True
        self._report = replace(self._report, replay_open=replay_open)
        self.go_on(Role.OPENER)

    def swept(self) -> None:
        """The replay was ended."""
        self._report = replace(self._report, replay_open=False)
        self.go_on(Role.SWEEPER)

    def polled(self, page: Page) -> None:
        """A read was answered."""
        self._caught_up = False
        self.session_token = page.session_token or self.session_token
        self._report = replace(
            self._report,
            last_poll_at=self._clock.now(),
            session_lsn=page.session_lsn
            if page.session_lsn is not None
            else self._report.session_lsn,
        )

    def nothing_unread(self, *, since: datetime, lsn: int | None) -> None:
        """A poll begun at `since` found no change up to `lsn`, and everything before it is committed."""
        self._caught_up = True
        self._read_through(lsn)
        self.moved_at = self._clock.monotonic()
        self._report = replace(self._report, caught_up_at=since)
        self.committed_event.set()

    def moved(self, position: Position, applied: Applied) -> None:
        """A batch, or a position alone, was committed."""
        self.committed = position
        self._read_through(position.lsn)
        self.moved_at = self._clock.monotonic()
        self._newest_time = applied.newest_time or self._newest_time
        self.committed_event.set()

    def report(self) -> RangeReport:
        """The condition as of now."""
        now = self._clock.now()
        gap = self._gap()
        return replace(
            self._report,
            told_at=now,
            state=self._state,
            state_since=self._state_since,
            gap_changes=gap,
            committed_lsn=self.committed.lsn if self._started else None,
            lag_seconds=lag_seconds(
                now=now,
                gap=gap,
                caught_up_at=self._report.caught_up_at,
                newest_time=self._newest_time,
            ),
        )

    def _gap(self) -> int | None:
        if not _SOURCE_SILENT.isdisjoint(self._waits.values()) or self._unanswered():
            return None
        if self._caught_up:
            return 0
        return gap_after_position(session_lsn=self._report.session_lsn, lsn=self.committed.lsn)

    def _read_through(self, lsn: int | None) -> None:
        home = self._home
        if lsn is not None and home is not None:
            through = ReadThrough(partition_id=home.id, keys=home.feed_range, lsn=lsn)
            self._report = replace(self._report, read_through=through)

    def _unanswered(self) -> bool:
        since = self.attempts.get(Role.READER)
        return since is not None and self._clock.monotonic() - since > ANSWER_SECONDS

    def _changed(self) -> None:
        state = next((s for s in _GRAVEST_FIRST if s in self._waits.values()), RangeState.READING)
        if state is not self._state:
            self._state = state
            self._state_since = self._clock.now()


def _category(error: Exception) -> FailureCategory:
    match error:
        case HandlerFailed() | SinkError():
            return FailureCategory.TARGET
        case LeaseError():
            return FailureCategory.LEASE
        case ProjectorError():
            return FailureCategory.SOURCE
        case _:
            return FailureCategory.INTERNAL
