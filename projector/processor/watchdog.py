"""Notices a range that is alive and does not advance: behind, or in a call that never returns.

A declared wait (target down, throttled, ...) is not a stall: it has a reason, a limit and a
place in `status`. A call that hangs inside such a wait is one.
Why: docs/explanation/lag.md, "alive is not advancing".
"""

from __future__ import annotations

from projector.core.states import RangeState
from projector.ports.feed import Clock
from projector.processor.handover import Stalled
from projector.processor.options import ProcessorOptions
from projector.processor.status import RangeStatus, Role

LOOKS_PER_LIMIT = 8


class Watchdog:
    """The watching task of one range."""

    def __init__(self, *, status: RangeStatus, options: ProcessorOptions, clock: Clock) -> None:
        self._status = status
        self._options = options
        self._clock = clock

    async def run(self) -> None:
        """Watch until cancelled. Raises: Stalled."""
        while True:
            await self._clock.sleep(self._options.stall_seconds / LOOKS_PER_LIMIT)
            reason = self._reason()
            if reason is not None:
                raise Stalled(reason)

    def _reason(self) -> str | None:
        now = self._clock.monotonic()
        for role, since in self._status.attempts.items():
            limit = self._limit(role)
            if limit is not None and now - since > limit:
                return f"the {role.value} got no answer for {now - since:.0f} s"
        idle = now - self._status.moved_at
        waits = (
            self._status.state not in {RangeState.READING, RangeState.SWEEPING}
            or self._status.is_waiting_for_units
        )
        if waits or Role.APPLIER in self._status.attempts or not self._status.behind:
            return None
        if idle > self._options.stall_seconds:
            return f"the range is behind and did not move for {idle:.0f} s"
        return None

    def _limit(self, role: Role) -> float | None:
        if role is Role.APPLIER:
            return self._options.apply_stall_seconds
        return self._options.stall_seconds
