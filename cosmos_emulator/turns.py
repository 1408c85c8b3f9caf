"""Lets one computation at a time go on for a moment, and everybody else in between.

The computation stays plain code that knows nothing of an event loop. It runs in a thread of its own, but
only while the loop waits for it: nothing runs beside it, and what it reads changes only where it pauses.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from cosmos_emulator.query import Budget

_T = TypeVar("_T")
PAGE_STEPS = 10_000_000
"""What the page of a query may cost: more than any that a client would wait for."""


class Turns:
    """Computations that take turns, in the order in which they come."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self.taken = 0

    async def take(self, work: Callable[[], _T]) -> _T:
        """Returns what the work returns; queries in it pause for the loop and for each other."""
        thread = _Paused(work)
        try:
            while not await self._next(thread):
                pass
        finally:
            thread.abandon()
        return thread.result()

    async def _next(self, thread: _Paused[_T]) -> bool:
        async with self._turn:
            self.taken += 1
            ended = thread.resume()
            await asyncio.sleep(
                0
            )  # within the lock: however many wait, the loop goes round between two
            return ended


class _AbandonedError(BaseException):
    """Nobody waits for the computation any more; not an error that the work could take for its own."""


class _Paused(Generic[_T]):
    """A computation that stands still unless it is told to go on."""

    def __init__(self, work: Callable[[], _T]) -> None:
        self._work = work
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._results: list[_T] = []
        self._error: BaseException | None = None
        self._is_over = self._is_abandoned = False
        self._thread = threading.Thread(target=self._run, name="query", daemon=True)
        self._thread.start()

    def resume(self) -> bool:
        """Goes on to the next pause or the end; tells whether that was the end."""
        self._go.release()
        self._stopped.acquire()
        return self._is_over

    def abandon(self) -> None:
        """Ends the computation where it stands."""
        self._is_abandoned = True
        while not self._is_over:
            self.resume()
        self._thread.join()

    def result(self) -> _T:
        """What the work returned or raised."""
        if self._error is not None:
            raise self._error
        return self._results[0]

    def _run(self) -> None:
        self._go.acquire()
        try:
            if not self._is_abandoned:
                with Budget(PAGE_STEPS, self._pause).in_force():
                    self._results.append(self._work())
        except BaseException as error:  # noqa: BLE001 - whoever waits for the result raises it
            self._error = error
        self._is_over = True
        self._stopped.release()

    def _pause(self) -> None:
        self._stopped.release()
        self._go.acquire()
        if self._is_abandoned:
            raise _AbandonedError
