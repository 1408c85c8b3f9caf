"""Observers, kept from harming what they observe: an exception of theirs is logged and dropped."""

from __future__ import annotations

from collections.abc import Awaitable

import structlog

from projector.core.names import LeaseToken
from projector.core.states import CloseReason
from projector.ports.feed import Applied, Observer, Page, RangeReport
from projector.ports.traces import UNTRACED, BatchTrace, Tracer
from projector.processor.events import Event

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class SilentObserver:
    """Does nothing; the base for observers that want some of the calls."""

    async def acquired(self, token: LeaseToken) -> None:
        """The lease is owned."""

    async def released(self, token: LeaseToken, reason: CloseReason) -> None:
        """The range is no longer read by this host."""

    async def failed(self, token: LeaseToken, error: Exception) -> None:
        """A range ended, or waits, because of this error."""

    def polled(self, token: LeaseToken, page: Page) -> None:
        """A read was answered."""

    def applied(self, token: LeaseToken, applied: Applied, *, seconds: float) -> None:
        """A batch was committed."""

    def observed(self, report: RangeReport) -> None:
        """The condition of a range."""


class Notifications:
    """Passes everything on to one observer and survives it."""

    def __init__(self, observer: Observer, tracer: Tracer = UNTRACED) -> None:
        self._observer = observer
        self._tracer = tracer

    async def acquired(self, token: LeaseToken) -> None:
        """The lease is owned, the range about to be read."""
        await _told(token, self._observer.acquired(token))

    async def released(self, token: LeaseToken, reason: CloseReason) -> None:
        """The range is no longer read by this host."""
        await _told(token, self._observer.released(token, reason))

    async def failed(self, token: LeaseToken, error: Exception) -> None:
        """A range ended, or waits, because of this error."""
        await _told(token, self._observer.failed(token, error))

    def polled(self, token: LeaseToken, page: Page) -> None:
        """A read was answered."""
        try:
            self._observer.polled(token, page)
        except Exception as error:  # noqa: BLE001 - an observer must not stop the reader
            _dropped(token, error)

    def applied(self, token: LeaseToken, applied: Applied, *, seconds: float) -> None:
        """A batch was committed within that many seconds."""
        try:
            self._observer.applied(token, applied, seconds=seconds)
        except Exception as error:  # noqa: BLE001 - an observer must not stop the applier
            _dropped(token, error)

    def traced(self, token: LeaseToken, trace: BatchTrace) -> None:
        """The way of a batch has ended."""
        try:
            self._tracer.traced(token, trace)
        except Exception as error:  # noqa: BLE001 - a tracer must not stop the bookmarks
            _dropped(token, error)

    def observed(self, report: RangeReport) -> None:
        """The condition of a range, on every reporting cycle."""
        try:
            self._observer.observed(report)
        except Exception as error:  # noqa: BLE001 - an observer must not stop the reporter
            _dropped(report.lease_token, error)


async def _told(token: LeaseToken, call: Awaitable[None]) -> None:
    try:
        await call
    except Exception as error:  # noqa: BLE001 - an observer must not stop the processing
        _dropped(token, error)


def _dropped(token: LeaseToken, error: Exception) -> None:
    log.warning(Event.OBSERVER_FAILED, lease=token, error=f"{type(error).__name__}: {error}")
