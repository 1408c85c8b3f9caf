"""Hands batches to the target, one after the other, and tells the checkpointer what is durable.

Order: 1. the batch is committed with its position; 2. only then its bookmark is offered. While
the target is down the same batch is tried again and nothing is lost; a stop in that time
leaves the batch to the next owner.
"""

from __future__ import annotations

from functools import partial
from typing import Generic, TypeVar

from projector.core.errors import SourceRecreated
from projector.core.states import RangeState
from projector.ports.feed import Applied, Grant
from projector.processor.checkpointer import Checkpointer
from projector.processor.neighbours import Neighbours
from projector.processor.pages import Gathered, WaitingPages
from projector.processor.status import RangeStatus, Role
from projector.processor.waiting import Failed, Patience, Stopped

P = TypeVar("P")


class Applier(Generic[P]):
    """The writing task of one range."""

    def __init__(
        self,
        *,
        neighbours: Neighbours[P],
        grant: Grant,
        pages: WaitingPages[P],
        checkpointer: Checkpointer,
        status: RangeStatus,
    ) -> None:
        self._sink = neighbours.sink
        self._clock = neighbours.clock
        self._observer = neighbours.observer
        self._grant = grant
        self._pages = pages
        self._checkpointer = checkpointer
        self._status = status
        self._patience = Patience(
            clock=neighbours.clock, draw=neighbours.draw.random, stopping=pages.closed
        )

    async def run(self) -> SourceRecreated | None:
        """Apply until the pages are closed; the value says that the container is another one."""
        token = self._grant.claim.lease_token
        while (batch := await self._pages.take()) is not None:
            began = self._clock.monotonic()
            try:
                applied = await self._patience.until_done(
                    partial(self._apply, batch), waits=self._waits
                )
            except Stopped:
                return None
            except SourceRecreated as error:
                return error
            self._pages.done()
            self._status.go_on(Role.APPLIER)
            self._status.moved(batch.position, applied)
            self._checkpointer.offer(batch.position, delivered=applied.delivered > 0)
            self._observer.applied(token, applied, seconds=self._clock.monotonic() - began)
        return None

    async def _apply(self, batch: Gathered[P]) -> Applied:
        with self._status.attempt(Role.APPLIER):
            return await self._sink.apply(self._grant, batch.pages, batch.position)

    async def _waits(self, failed: Failed) -> None:
        if self._status.wait(Role.APPLIER, RangeState.WAITING_FOR_TARGET, failed.error):
            await self._observer.failed(self._grant.claim.lease_token, failed.error)
