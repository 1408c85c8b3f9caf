"""What the console shows, put together: the verdicts of the fleet's watch, the rest from PostgreSQL.

However many pages are open, PostgreSQL is asked at most once a second, and only while one is. A
server that does not answer leaves what it told before, with its age; the verdict does not wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from projector.core.names import InstanceName
from projector.operations.fleet import FleetWatch
from projector.ports.console import Board, StoredSide
from projector.ports.feed import Clock
from projector.ports.quarantine import QuarantinedDocument

ASK_EVERY_SECONDS = 1.0
NO_ANSWER = "PostgreSQL does not answer"
PATIENCE_SECONDS = 1.5
"""A page waits so long for PostgreSQL; then it shows what there is."""


class Console:
    """Implements `ports.console.ConsoleView`."""

    def __init__(
        self,
        *,
        fleet: FleetWatch,
        ask: Callable[[], Awaitable[StoredSide]],
        show: Callable[[int], Awaitable[QuarantinedDocument | None]],
        clock: Clock,
        instance: InstanceName,
        version: str,
        copied: str,
    ) -> None:
        """Take what is asked; nothing is before somebody looks.

        Args:
            fleet: Judges.
            ask: Looks at the tables.
            show: Finds a document of the quarantine.
            clock: Time between looks.
            instance: Whose console it is.
            version: What runs.
            copied: The container and where its copy is, for a person.
        """
        self._fleet = fleet
        self._ask = ask
        self._show = show
        self._clock = clock
        self._instance, self._version, self._copied = instance, version, copied
        self._stored: StoredSide | None = None
        self._silent: str | None = None
        self._asked_at: float | None = None
        self._wanted, self._told = asyncio.Event(), asyncio.Event()

    async def board(self) -> Board:
        """The picture as of now; see `ConsoleView`."""
        self._fleet.watched()
        if self._fleet.figures().now is not None:  # before, the schema may not be there
            await self._refresh()
        figures = self._fleet.figures()
        return Board(
            now=figures.now or self._clock.now(),
            instance=self._instance,
            version=self._version,
            copied=self._copied,
            diagnosis=figures.diagnosis,
            look_age_seconds=figures.look_age_seconds,
            errors=figures.errors,
            quarantined=self._quarantined(figures.quarantined),
            verified_seconds=figures.verified_seconds,
            drift_found=figures.drift_found,
            stored=self._stored,
            silent=self._silent,
        )

    async def document(self, entry_id: int) -> QuarantinedDocument | None:
        """A quarantined document; see `ConsoleView`."""
        return await self._show(entry_id)

    def _quarantined(self, counted: int | None) -> int | None:
        """A count is taken now and then; where all entries are known, they are their own count."""
        stored = self._stored
        if stored is None or self._silent is not None:
            return counted
        known = len(stored.entries)
        return known if stored.has_all_entries else max(known, counted or 0)

    async def run(self) -> None:
        """Ask whenever a page wants it, until cancelled.

        In a task of its own: to give up a query of a silent server takes long, and no page waits for it.
        """
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                self._stored, self._silent = await self._ask(), None
            except Exception as error:  # noqa: BLE001 - told on the page; no page is worth a host
                self._silent = str(error) or NO_ANSWER
            self._asked_at = self._clock.monotonic()
            told, self._told = self._told, asyncio.Event()
            told.set()

    async def _refresh(self) -> None:
        asked_at, now = self._asked_at, self._clock.monotonic()
        if asked_at is not None and now - asked_at < ASK_EVERY_SECONDS:
            return
        self._wanted.set()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._told.wait()
        except TimeoutError:
            self._silent = NO_ANSWER
