"""Faults that a fake runs into: raise, hang or answer late, before or after the deed."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass

from tests.fakes.clock import FakeClock


@dataclass(slots=True, kw_only=True)
class Fault:
    """One planned failure, after `skip` successes; `times` None lasts until removed."""

    operation: str
    error: Exception | None = None
    times: int | None = 1
    about: str | None = None
    after: bool = False
    hang: bool = False
    delay_seconds: float = 0.0
    skip: int = 0


class Faults:
    """Planned failures, latency and a count of calls by operation."""

    def __init__(self, clock: FakeClock, *, latency_seconds: float = 0.005) -> None:
        self._clock = clock
        self.latency_seconds = latency_seconds
        self.calls: Counter[str] = Counter()
        self._planned: list[Fault] = []

    def plan(self, operation: str, error: Exception | None = None, **how: object) -> Fault:
        """Let the next calls of an operation fail."""
        fault = Fault(operation=operation, error=error, **how)  # type: ignore[arg-type]
        self._planned.append(fault)
        return fault

    def clear(self) -> None:
        self._planned.clear()

    async def before(self, operation: str, about: str = "") -> None:
        """Called by a fake before it does something."""
        self.calls[operation] += 1
        await self._clock.sleep(self.latency_seconds)
        await self._meet(operation, about, after=False)

    async def after(self, operation: str, about: str = "") -> None:
        """Called by a fake when it is done, before it answers."""
        await self._meet(operation, about, after=True)

    async def _meet(self, operation: str, about: str, *, after: bool) -> None:
        for fault in list(self._planned):
            if fault.operation != operation or fault.after is not after:
                continue
            if fault.about is not None and fault.about != about:
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            self._use(fault)
            await self._clock.sleep(fault.delay_seconds)
            if fault.hang:
                await asyncio.Event().wait()
            if fault.error is not None:
                raise fault.error
            return

    def _use(self, fault: Fault) -> None:
        if fault.times is None:
            return
        fault.times -= 1
        if fault.times <= 0:
            self._planned.remove(fault)
