"""Waiting that can be cut short, deadlines, and patience with outages.

All time comes from the `Clock`, so that every wait passes in virtual time in tests.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from projector.core.errors import Disposition, ProjectorError
from projector.core.pacing import retry_seconds
from projector.ports.feed import Clock

T = TypeVar("T")


async def pause(clock: Clock, seconds: float, *, until: asyncio.Event) -> bool:
    """Wait that long, or until the event; True when the event is set."""
    if until.is_set() or seconds <= 0:
        return until.is_set()
    async with asyncio.TaskGroup() as group:
        sleeping = group.create_task(clock.sleep(seconds), name="pause:sleep")
        waiting = group.create_task(until.wait(), name="pause:event")
        await asyncio.wait((sleeping, waiting), return_when=asyncio.FIRST_COMPLETED)
        sleeping.cancel()
        waiting.cancel()
    return until.is_set()


class Deadline:
    """A point in monotonic time that several waits share."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._end = clock.monotonic() + seconds

    def remaining_seconds(self) -> float:
        """Seconds left, 0 when it has passed."""
        return max(0.0, self._end - self._clock.monotonic())


class Patience:
    """Repeats an attempt while its error says "retry", with growing waits, until stopped."""

    def __init__(self, *, clock: Clock, draw: random.Random, stopping: asyncio.Event) -> None:
        self._clock = clock
        self._draw = draw
        self._stopping = stopping

    async def until_done(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        waits: Callable[[ProjectorError], Awaitable[None]],
    ) -> T:
        """Return the attempt's first result.

        Args:
            attempt: called again after each error whose disposition is RETRY.
            waits: told of each such error before the wait.

        Raises: Stopped when a stop was asked for while waiting; any other error as it is.
        """
        failures = 0
        while True:
            try:
                return await attempt()
            except ProjectorError as error:
                if error.disposition is not Disposition.RETRY:
                    raise
                failures += 1
                await waits(error)
                seconds = retry_seconds(error, failures, draw=self._draw.random())
            if await pause(self._clock, seconds, until=self._stopping):
                raise Stopped


class Stopped(Exception):
    """A stop was asked for while waiting; nothing was in hand."""
