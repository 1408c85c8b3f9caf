"""An event loop in virtual time whose only source of order is a seed.

Every port call of a simulated host passes a `Gate`. When nothing else can run, the loop opens
one gate, chosen by the seed, or, with no gate waiting, moves the clock to the next timer. Real
input and output (PostgreSQL) happens only inside an opened gate, one call at a time, and no
time passes meanwhile: a seed therefore replays exactly.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Any, TypeVar

from typing_extensions import override

T = TypeVar("T")
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
STUCK_SECONDS = 3.0
"""Real input and output that says nothing for so long waits for a timer, not for the server."""


class _IdleSelector(selectors.DefaultSelector):
    """Asks `on_idle` what to do instead of sleeping while no real IO is under way."""

    def __init__(self) -> None:
        super().__init__()
        self.real_io = 0
        self.on_idle: Callable[[float | None], bool] = lambda _timeout: False
        self.pass_time: Callable[[float | None], bool] = lambda _timeout: False

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events or timeout == 0:
            return events
        if self.real_io or self.is_under_way():
            return super().select(STUCK_SECONDS) or self._stuck(timeout)
        if self.on_idle(timeout):
            return []
        return super().select(0.05)

    def is_under_way(self) -> bool:
        """Whether a socket is waited for, beside the loop's own."""
        return len(self.get_map()) > 1

    def _stuck(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        """Let the driver's own timers run: its pool waits before it connects again."""
        self.pass_time(timeout)
        return []


class _Task(asyncio.Task[T]):
    """One whose place in a set is that of its birth: whoever ends all tasks of a set ends them in one order."""

    def __init__(self, number: int, **given: Any) -> None:
        self._number = number
        super().__init__(**given)

    @override
    def __hash__(self) -> int:
        return self._number


class VirtualLoop(asyncio.SelectorEventLoop):
    """A selector loop whose `time()` moves only when nothing can run."""

    def __init__(self, random: Random) -> None:
        self._idle = _IdleSelector()
        self._virtual_seconds = 0.0
        super().__init__(self._idle)
        self._random = random
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []
        self.trace: list[str] = []
        numbers = count()
        self.set_task_factory(
            lambda loop, work, **given: _Task(next(numbers), coro=work, loop=loop, **given)
        )
        self._idle.on_idle = self._when_idle
        self._idle.pass_time = self._pass_time

    @override
    def time(self) -> float:
        return self._virtual_seconds

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self._virtual_seconds)

    async def gate(self, name: str) -> None:
        """Wait until the seed lets this call go on."""
        future: asyncio.Future[None] = self.create_future()
        entry = (name, future)
        self._waiting.append(entry)
        try:
            await future
        finally:
            if entry in self._waiting:
                self._waiting.remove(entry)

    @contextmanager
    def real_io(self) -> Iterator[None]:
        """Mark real input and output: the loop waits for it and opens no gate meanwhile."""
        self._idle.real_io += 1
        try:
            yield
        finally:
            self._idle.real_io -= 1

    async def settled(self) -> None:
        """Return when nobody is half way into PostgreSQL: it makes and drops no database before he is in, or gone."""
        while self._idle.is_under_way():  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0)

    def _when_idle(self, timeout: float | None) -> bool:
        if self._waiting:
            name, future = self._waiting.pop(self._random.randrange(len(self._waiting)))
            self.trace.append(name)
            if not future.done():
                future.set_result(None)
            return True
        return self._pass_time(timeout)

    def _pass_time(self, timeout: float | None) -> bool:
        if timeout is None:
            return False
        self._virtual_seconds += max(timeout, 1e-6)
        return True


class VirtualClock:
    """The `Clock` port on a virtual loop; `skew_seconds` is this host's error of the day."""

    def __init__(self, loop: VirtualLoop, *, skew_seconds: float = 0.0) -> None:
        self._loop = loop
        self._skew = timedelta(seconds=skew_seconds)

    def now(self) -> datetime:
        return self._loop.now() + self._skew

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0.001))


def run_virtual(random: Random, main: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run `await main(loop)` to its end in virtual time and close the loop."""
    loop = VirtualLoop(random)
    try:
        return loop.run_until_complete(main(loop))
    finally:
        _drain(loop)
        loop.close()


def _drain(loop: VirtualLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()
    pending = asyncio.all_tasks(loop)
    if pending:
        loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())


Weights = Mapping[str, float]


def choose(random: Random, weights: Weights) -> str:
    """One key, by weight."""
    return random.choices(list(weights), weights=list(weights.values()))[0]
