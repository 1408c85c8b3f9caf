"""Virtual time: an event loop that jumps to the next timer when everybody waits."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from selectors import SelectorKey
from typing import Any

from typing_extensions import override

START = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
STUCK_LOOKS = 400


class Deadlock(AssertionError):
    """Everybody waits and no timer is set: nothing will ever happen."""


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self._looks = 0

    @override
    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        if timeout is None:
            return self._look()
        self._looks = 0
        if timeout > 0:
            self.seconds += timeout
        return super().select(0)

    def _look(self) -> list[tuple[SelectorKey, int]]:
        """No timer: only a thread of the loop's own shutdown may still wake it."""
        ready = super().select(0.05)
        self._looks = 0 if ready else self._looks + 1
        if self._looks > STUCK_LOOKS:
            raise Deadlock("every task waits for another one")
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Never waits: an hour of timers passes in the time its callbacks take."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    @override
    def time(self) -> float:
        return self._jumping.seconds


class FakeClock:
    """The clock of a `VirtualTimeLoop`; `offset_seconds` lets one host's wall clock be wrong."""

    def __init__(self, *, offset_seconds: float = 0.0) -> None:
        self.offset = timedelta(seconds=offset_seconds)

    def now(self) -> datetime:
        return START + timedelta(seconds=self.monotonic()) + self.offset

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


def virtual_loops() -> Mapping[str, Any]:
    """For a conftest's `pytest_asyncio_loop_factories`."""
    return {"virtual": VirtualTimeLoop}
