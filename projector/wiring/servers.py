"""Waits out an outage at the start of a command, and says so; anything else goes up at once."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from projector.core.errors import SchemaBusy
from projector.ports.feed import Clock
from projector.processor.waiting import Failed, Patience
from projector.telemetry.logs import Event

T = TypeVar("T")

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """The servers that a command needs, and how it waits for them."""

    clock: Clock
    draw: Callable[[], float] = field(default=random.random)

    async def until_done(
        self, action: Callable[[], Awaitable[T]], *, failing: Event, back: Event
    ) -> T:
        """Does it, again and again with growing pauses while a server is down.

        Raises:
            ProjectorError: What no waiting mends: a wrong key, a missing container, ...
        """
        attempts, away = 1, False

        async def tell(failed: Failed) -> None:
            nonlocal attempts, away
            busy = isinstance(failed.error, SchemaBusy)
            attempts, away = failed.failures + 1, away or not busy
            log.warning(
                Event.SCHEMA_BUSY if busy else failing,
                error=str(failed.error),
                attempt=failed.failures,
                retry_in_seconds=round(failed.seconds, 2),
            )

        patience = Patience(clock=self.clock, draw=self.draw)
        result = await patience.until_done(action, waits=tell)
        if away:
            log.info(back, attempts=attempts)
        return result

    async def waiting_for_target(self, action: Callable[[], Awaitable[T]]) -> T:
        """The same for what PostgreSQL has to do."""
        return await self.until_done(
            action, failing=Event.TARGET_UNAVAILABLE, back=Event.TARGET_BACK
        )

    async def waiting_for_source(self, action: Callable[[], Awaitable[T]]) -> T:
        """The same for what Cosmos DB has to do."""
        return await self.until_done(
            action, failing=Event.SOURCE_UNAVAILABLE, back=Event.SOURCE_BACK
        )
