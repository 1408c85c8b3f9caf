"""What every command begins with, and how it leaves: settings, log, asyncio, Ctrl-C and SIGTERM.

The first signal asks the command to stop in good order (stop-and-drain), the second one aborts:
the task is cancelled and what was under way is given up. Neither loses anything, since a position
moves only with its rows.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import TypeVar

from projector.cli.lines import say
from projector.settings import Settings, load_settings
from projector.telemetry.logs import configure_logging


def prepared() -> Settings:
    """Reads the settings and sends the log to standard error."""
    settings = load_settings()
    configure_logging(style=settings.log_format, level=settings.log_level)
    return settings


def prepared_to_look() -> Settings:
    """The same for commands that only look: their log begins at warnings."""
    settings = load_settings()
    level = "debug" if settings.log_level == "debug" else "warning"
    configure_logging(style=settings.log_format, level=level)
    return settings


T = TypeVar("T")
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopping:
    """Told when somebody wants the command to end."""

    def __init__(self) -> None:
        """Nobody has asked yet."""
        self._event = asyncio.Event()
        self._then: Callable[[], object] = lambda: None

    @property
    def requested(self) -> bool:
        """Whether the end was asked for."""
        return self._event.is_set()

    def then(self, action: Callable[[], object]) -> None:
        """What to do as soon as the end is asked for."""
        self._then = action

    async def wait(self, seconds: float | None = None) -> None:
        """Returns when the end is asked for, or after so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()

    def request(self) -> None:
        """Ask for the end."""
        self._event.set()
        self._then()


def enter(command: Callable[[], Awaitable[T]]) -> T:
    """Runs a short command; Ctrl-C and SIGTERM cancel it."""

    async def guarded() -> T:
        _on_signals(_cancel_current())
        return await command()

    return _run(guarded())


def enter_until_stopped(command: Callable[[Stopping], Awaitable[T]], *, notice: str) -> T:
    """Runs a long command; the first signal says `notice` and asks it to stop, the second cancels it."""

    async def guarded() -> T:
        stopping = Stopping()
        abort = _cancel_current()

        def stop() -> None:
            if stopping.requested:
                say("stopping at once")
                abort()
                return
            say(notice)
            stopping.request()

        _on_signals(stop)
        return await command(stopping)

    return _run(guarded())


def _run(coroutine: Coroutine[None, None, T]) -> T:
    try:
        return asyncio.run(coroutine)
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _cancel_current() -> Callable[[], object]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("called outside a task")
    return task.cancel


def _on_signals(action: Callable[[], object]) -> None:
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, action)
