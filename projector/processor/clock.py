"""The one clock of the running program; loops take it as an argument and tests bring another."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime


class SystemClock:
    """Wall clock in UTC, monotonic seconds, and real waiting."""

    def now(self) -> datetime:
        """The time of day, aware, UTC."""
        return datetime.now(UTC)  # noqa: TID251 - this is the edge

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds."""
        await asyncio.sleep(seconds)
