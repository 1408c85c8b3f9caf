"""The tasks of a range that is being read: reader, applier, checkpointer, sweep.

They end together. What the reader finds out (the range is gone, the container is another
one, or was restored) ends them in the orderly way: the batch in hand is finished and
bookmarked first. So does a stop. An error ends them at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from projector.core.errors import FeedError
from projector.core.names import Continuation, Epoch
from projector.processor.applier import Applier
from projector.processor.checkpointer import Checkpointer
from projector.processor.lease_keeper import LeaseKeeper
from projector.processor.neighbours import Neighbours
from projector.processor.opening import Started
from projector.processor.pages import WaitingPages
from projector.processor.reader import Reader
from projector.processor.status import RangeStatus
from projector.processor.sweeping import Sweeping

P = TypeVar("P")


class Pipeline(Generic[P]):
    """One reading of one range, from its start to its end."""

    def __init__(
        self,
        *,
        neighbours: Neighbours[P],
        keeper: LeaseKeeper,
        started: Started,
        status: RangeStatus,
    ) -> None:
        self._token = keeper.token
        self._epoch = started.grant.epoch
        self._pages: WaitingPages[P] = WaitingPages(
            start=started.position,
            max_documents=neighbours.options.batch_documents,
            max_bytes=neighbours.options.batch_bytes,
            clock=neighbours.clock,
            gather_seconds=neighbours.options.gather_seconds,
        )
        self._checkpointer = Checkpointer(
            keeper=keeper,
            options=neighbours.options,
            clock=neighbours.clock,
            draw=neighbours.draw,
            status=status,
            properties=started.properties,
        )
        self._reader = Reader(
            neighbours=neighbours,
            grant=started.grant,
            target=started.target,
            pages=self._pages,
            status=status,
        )
        self._applier = Applier(
            neighbours=neighbours,
            grant=started.grant,
            pages=self._pages,
            checkpointer=self._checkpointer,
            status=status,
        )
        self._sweeping = Sweeping(neighbours=neighbours, grant=started.grant, status=status)

    async def checkpoint(self, epoch: Epoch, continuation: Continuation) -> bool:
        """Bookmark at the user's word; False when the position belongs to a former epoch."""
        if epoch != self._epoch:
            return False
        await self._checkpointer.write(continuation)
        return True

    async def run(self, stopping: asyncio.Event) -> FeedError | None:
        """Read, apply and bookmark until the range ends (why) or a stop is asked for (None).

        1. No more reading or sweeping. 2. The batch in hand is finished. 3. The last bookmark.
        """
        async with asyncio.TaskGroup() as group:
            name = f"range:{self._token}:"
            reading = group.create_task(self._reader.run(), name=name + "reader")
            applying = group.create_task(self._applier.run(), name=name + "applier")
            sweeping = group.create_task(self._sweeping.run(), name=name + "sweeper")
            marking = group.create_task(self._checkpointer.run(), name=name + "checkpointer")
            stopped = group.create_task(stopping.wait(), name=name + "stop")
            outcome = await _first_outcome((reading, applying, sweeping), stopped)
            for task in (reading, sweeping, stopped):
                task.cancel()
            self._pages.close()
            await asyncio.wait((applying,))
            self._checkpointer.close()
            await asyncio.wait((marking,))
        return outcome


async def _first_outcome(
    roles: Sequence[asyncio.Task[Any]], stopped: asyncio.Task[bool]
) -> FeedError | None:
    """The first result that is not None; None when the stop comes first."""
    waiting: set[asyncio.Task[Any]] = {*roles, stopped}
    while True:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for role in roles:
            if role in done and not role.cancelled() and role.exception() is None:
                result: FeedError | None = role.result()
                if result is not None:
                    return result
        if stopped in done:
            return None
