"""Keeps the lease alive, apart from processing: a slow target never loses it.

The first renewal comes after half an interval; a bookmark counts as one. An outage of the
lease container is retried at the next turn; a lost lease ends the range.
Source: .NET v3 change feed processor, lease renewer.
"""

from __future__ import annotations

import structlog

from projector.core.errors import Disposition, ProjectorError
from projector.ports.feed import Clock
from projector.processor.events import Event
from projector.processor.lease_keeper import LeaseKeeper
from projector.processor.status import RangeStatus

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Renewer:
    """The renewing task of one range."""

    def __init__(
        self, *, keeper: LeaseKeeper, clock: Clock, renew_seconds: float, status: RangeStatus
    ) -> None:
        self._keeper = keeper
        self._clock = clock
        self._renew_seconds = renew_seconds
        self._status = status

    async def run(self) -> None:
        """Renew until cancelled. Raises: LeaseLost, LeaseMissing."""
        await self._clock.sleep(self._renew_seconds / 2)
        while True:
            fresh_for = self._keeper.written_at + self._renew_seconds / 2 - self._clock.monotonic()
            if fresh_for > 0:
                await self._clock.sleep(fresh_for)
                continue
            await self._renew()
            await self._clock.sleep(self._renew_seconds)

    async def _renew(self) -> None:
        try:
            await self._keeper.renew()
        except ProjectorError as error:
            if error.disposition is not Disposition.RETRY:
                raise
            self._status.note(error)
            log.warning(
                Event.RENEWAL_FAILED,
                lease=self._keeper.token,
                error=f"{type(error).__name__}: {error}",
            )
