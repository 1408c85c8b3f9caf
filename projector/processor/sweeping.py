"""Ends the open replay of a range once its position has passed the replay's mark.

The sweep runs beside reading and may take long; an outage is waited out. Whoever owns the
range after a crash or a stop sweeps it again: the record is the target's.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import structlog

from projector.core.errors import SourceRecreated
from projector.core.states import RangeState
from projector.ports.feed import Grant
from projector.processor.events import Event
from projector.processor.neighbours import Neighbours
from projector.processor.status import RangeStatus, Role
from projector.processor.waiting import Failed, Patience

P = TypeVar("P")

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Sweeping(Generic[P]):
    """The sweeping task of one range."""

    def __init__(self, *, neighbours: Neighbours[P], grant: Grant, status: RangeStatus) -> None:
        self._sweeper = neighbours.sweeper
        self._grant = grant
        self._status = status
        self._patience = Patience(clock=neighbours.clock, draw=neighbours.draw.random)

    async def run(self) -> SourceRecreated | None:
        """End an open replay once; end at once when there is none.

        The value says that the container is another one.
        """
        if not self._grant.replay_open:
            return None
        while not self._passed():
            self._status.committed_event.clear()
            await self._status.committed_event.wait()
        self._status.wait(Role.SWEEPER, RangeState.SWEEPING)
        try:
            await self._patience.until_done(self._sweep, waits=self._waits)
        except SourceRecreated as error:
            return error
        self._status.swept()
        log.debug(Event.REPLAY_SETTLED, lease=self._grant.claim.lease_token)
        return None

    async def _sweep(self) -> None:
        await self._sweeper.sweep(self._grant, session_token=self._status.session_token)

    def _passed(self) -> bool:
        mark, position = self._grant.replay_mark_lsn, self._status.committed
        if mark is None or position.lsn is None:
            return self._status.caught_up and position.continuation is not None
        return position.lsn >= mark

    async def _waits(self, failed: Failed) -> None:
        self._status.note(failed.error)
