"""A `Ledger` in memory."""

from __future__ import annotations

from projector.core.errors import SinkUnavailable
from tests.fakes.clock import FakeClock


class FakeLedger:
    """One line of time; `silent` makes it unreachable."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._booked_until = 0.0
        self.silent = False
        self.bookings = 0

    async def book(self, request_units: float, *, per_second: float) -> float:
        await self._clock.sleep(0.005)
        if self.silent:
            raise SinkUnavailable("nobody answers")
        now = self._clock.monotonic()
        begins = max(self._booked_until, now)
        self._booked_until = begins + request_units / per_second
        self.bookings += 1
        return begins - now
