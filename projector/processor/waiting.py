"""Waiting that can be cut short, deadlines, and patience with outages.

All time comes from the `Clock`, so that every wait passes in virtual time in tests.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
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


class Stopped(Exception):
    """A stop was asked for while waiting; nothing was in hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """An attempt that failed for the so manieth time in a row, and the wait before the next one."""

    error: ProjectorError
    failures: int
    seconds: float


def is_passing(error: ProjectorError) -> bool:
    """Whether waiting helps, by the error's own word."""
    return error.disposition is Disposition.RETRY


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Repeats an attempt while waiting helps, with growing waits: the one way to do so.

    Attributes:
        draw: gives random numbers in [0, 1) for the jitter.
        stopping: ends a wait; None where cancelling does.
        helps: whether waiting helps after an error.
    """

    clock: Clock
    draw: Callable[[], float] = random.random
    stopping: asyncio.Event | None = None
    helps: Callable[[ProjectorError], bool] = is_passing

    async def until_done(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        waits: Callable[[Failed], Awaitable[None]] | None = None,
        seen: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> T:
        """Return the attempt's first result.

        Args:
            attempt: called again after each error that passes.
            waits: told of each before the wait; gives up by raising the error.
            seen: entered for each attempt, for a watchdog.

        Raises: Stopped when a stop was asked for while waiting; any other error as it is.
        """
        failures = 0
        while True:
            try:
                with seen():
                    return await attempt()
            except ProjectorError as error:
                if not self.helps(error):
                    raise
                failures += 1
                seconds = retry_seconds(error, failures, draw=self.draw())
                if waits is not None:
                    await waits(Failed(error=error, failures=failures, seconds=seconds))
            if self.stopping is None:
                await self.clock.sleep(seconds)
            elif await pause(self.clock, seconds, until=self.stopping):
                raise Stopped
