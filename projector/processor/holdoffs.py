"""How long this host leaves a range alone after it failed here, so that failures do not spin.

The wait grows with each failure in a row and is forgotten once the range has run well. Other
hosts may take the lease meanwhile. A handler's failure is retried at the next balancing
cycle, as in .NET; a lease lost to another host needs no wait.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

from projector.core.errors import FencedOut
from projector.core.names import LeaseToken
from projector.core.pacing import backoff_seconds
from projector.core.states import CloseReason, RangeState
from projector.ports.feed import Clock, RangeReport
from projector.processor.handover import Ending

HEALTHY_SECONDS = 60.0
"""A range that ran that long before it failed starts counting anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """First and longest wait after failures of one kind."""

    base_seconds: float
    cap_seconds: float


_FENCED = Pace(base_seconds=1.0, cap_seconds=60.0)
_PACES: Mapping[CloseReason, Pace] = {
    CloseReason.SINK_FAILED: Pace(base_seconds=2.0, cap_seconds=300.0),
    CloseReason.SOURCE_FAILED: Pace(base_seconds=2.0, cap_seconds=300.0),
    CloseReason.STALLED: Pace(base_seconds=0.5, cap_seconds=60.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldOff:
    """One range left alone until `until` (monotonic seconds).

    `report` shows it as stopped; None once another host does.
    """

    until: float
    failures: int
    report: RangeReport | None


class HoldOffs:
    """All ranges that this host leaves alone."""

    def __init__(self, *, clock: Clock, draw: random.Random) -> None:
        self._clock = clock
        self._draw = draw
        self._held: dict[LeaseToken, HoldOff] = {}

    def put(self, ending: Ending, report: RangeReport, *, ran_seconds: float) -> float | None:
        """Note how a range ended; the wait in seconds, None when there is none."""
        token = report.lease_token
        pace = _pace(ending)
        if pace is None:
            self._held.pop(token, None)
            return None
        before = self._held.get(token)
        failures = 1 if before is None or ran_seconds > HEALTHY_SECONDS else before.failures + 1
        seconds = backoff_seconds(
            failures,
            draw=self._draw.random(),
            base_seconds=pace.base_seconds,
            cap_seconds=pace.cap_seconds,
        )
        self._held[token] = HoldOff(
            until=self._clock.monotonic() + seconds,
            failures=failures,
            # Nobody reads it here from now on: what was known of its end grows old.
            report=replace(
                report,
                state=_state(ending),
                state_since=self._clock.now(),
                gap_changes=None,
                lag_seconds=None,
            ),
        )
        return seconds

    def hide(self, token: LeaseToken) -> None:
        """The range lives elsewhere: show it no more, but remember that it failed here."""
        if token in self._held:
            self._held[token] = replace(self._held[token], report=None)

    @property
    def tokens(self) -> frozenset[LeaseToken]:
        """The ranges to leave alone now."""
        now = self._clock.monotonic()
        return frozenset(token for token, held in self._held.items() if held.until > now)

    @property
    def next_seconds(self) -> float | None:
        """Until the first of them may be taken again; None when all may be."""
        now = self._clock.monotonic()
        waits = [held.until - now for held in self._held.values() if held.until > now]
        return min(waits, default=None)

    def reports(self) -> list[RangeReport]:
        """What to show of them; also of those whose wait is over but that nobody took yet."""
        return [held.report for held in self._held.values() if held.report is not None]


def _pace(ending: Ending) -> Pace | None:
    if isinstance(ending.error, FencedOut):
        return _FENCED
    return _PACES.get(ending.reason)


def _state(ending: Ending) -> RangeState:
    if isinstance(ending.error, FencedOut):
        return RangeState.FENCED_OUT
    return RangeState.STOPPED
