"""What systemd is told of a host (`Type=notify`): that it runs, that its ranges advance, that it stops.

It does nothing where nobody listens (`NOTIFY_SOCKET`). A range that waits for a server, and says so, advances
in this sense: a restart would not help it. A sign of life is kept back only when a range says that it reads
and has had no answer for long, after the processor's own watchdog should have opened it anew; or when this
process does not come to say anything. Then systemd restarts it.
Source: sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta

from projector.core.states import RangeState
from projector.ports.feed import Clock, RangeReport

READY, ALIVE, STOPPING = "READY=1", "WATCHDOG=1", "STOPPING=1"
STILL_SECONDS = 300.0
"""More than twice what the processor's watchdog allows, so that it has its turn first."""

MICROSECONDS = 1_000_000
SIGNS_PER_LIMIT = 3
ADVANCES = frozenset({RangeState.STARTING, RangeState.READING, RangeState.SWEEPING})
"""States in which answers have to come; the others say what they wait for."""


class Systemd:
    """The way to the one who started this process."""

    def __init__(
        self,
        *,
        reports: Callable[[], Sequence[RangeReport]],
        clock: Clock,
        poll_seconds: float,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """Look whether anybody listens.

        Args:
            reports: How the ranges of this host are.
            clock: Time between two signs.
            poll_seconds: How long an idle range rests between reads.
            environment: Where systemd leaves word.
        """
        self._reports = reports
        self._clock = clock
        self._still = timedelta(seconds=STILL_SECONDS + poll_seconds)
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._limit_seconds = _limit_seconds(environment)

    def tell(self, *lines: str) -> None:
        """Send it; whoever does not listen stops nothing."""
        if not self._address:
            return
        address = f"\0{self._address[1:]}" if self._address[0] == "@" else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(0)
            sender.sendto("\n".join(lines).encode(), address)

    async def run(self) -> None:
        """The host runs: say so, then give a sign of life for as long as it advances."""
        self.tell(READY)
        while self._address and self._limit_seconds:
            reports = self._reports()
            still = [one.lease_token for one in reports if self._stands_still(one)]
            self.tell(*([] if still else [ALIVE]), f"STATUS={_told(reports, still)}")
            await self._clock.sleep(self._limit_seconds / SIGNS_PER_LIMIT)

    def _stands_still(self, report: RangeReport) -> bool:
        if report.state not in ADVANCES:
            return False
        moved_at = max(report.state_since, report.last_poll_at or report.state_since)
        return self._clock.now() - moved_at > self._still


def _limit_seconds(environment: Mapping[str, str]) -> float:
    """After how long without a sign systemd restarts us; 0 when it does not watch us."""
    meant = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    microseconds = environment.get("WATCHDOG_USEC", "")
    return int(microseconds) / MICROSECONDS if meant and microseconds.isdecimal() else 0.0


def _told(reports: Sequence[RangeReport], still: Sequence[str]) -> str:
    if still:
        return f"ranges stand still: {', '.join(still[:5])}"
    states = Counter(one.state.value for one in reports)
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "no ranges"
