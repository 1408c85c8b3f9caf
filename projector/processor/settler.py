"""Ends the open replay of a range once its place has passed the replay's mark.

The sweep runs beside reading and may take long; an outage is waited out. Whoever owns the
range after a crash or a stop settles it again: the record is the target's.
"""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

import structlog

from projector.core.errors import ProjectorError, SourceRecreated
from projector.core.states import RangeState
from projector.ports.feed import Grant
from projector.processor.events import Event
from projector.processor.neighbours import Neighbours
from projector.processor.status import RangeStatus, Role
from projector.processor.waiting import Patience

P = TypeVar("P")

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Settler(Generic[P]):
    """The sweeping task of one range."""

    def __init__(self, *, neighbours: Neighbours[P], grant: Grant, status: RangeStatus) -> None:
        self._sink = neighbours.sink
        self._grant = grant
        self._status = status
        self._patience = Patience(
            clock=neighbours.clock, draw=neighbours.draw, stopping=asyncio.Event()
        )

    async def run(self) -> SourceRecreated | None:
        """Settle an open replay once; end at once when there is none.

        The value says that the container is another one.
        """
        try:
            await self._settle()
        except SourceRecreated as error:
            return error
        return None

    async def _settle(self) -> None:
        if not self._grant.replay_open:
            return
        while not self._passed():
            self._status.committed_event.clear()
            await self._status.committed_event.wait()
        self._status.wait(Role.SETTLER, RangeState.SWEEPING)
        await self._patience.until_done(lambda: self._sink.settle(self._grant), waits=self._waits)
        self._status.settled()
        log.debug(Event.REPLAY_SETTLED, lease=self._grant.claim.lease_token)

    def _passed(self) -> bool:
        mark, place = self._grant.replay_mark_lsn, self._status.committed
        if mark is None or place.lsn is None:
            return self._status.caught_up and place.continuation is not None
        return place.lsn >= mark

    async def _waits(self, error: ProjectorError) -> None:
        self._status.note(error)
