"""Which jobs a host does now and then, on its own target and container."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from projector.housekeeping import Housekeeping, Job, Postponed, RunningJob
from projector.ports.copy import VERIFICATION
from projector.postgres import housekeeping as storage
from projector.postgres.connections import Connections
from projector.postgres.ranges import live_ranges
from projector.postgres.timeline import forget_entries
from projector.settings import Settings
from projector.wiring.copy import Copy

AGAIN = timedelta(minutes=10)
PURGED_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseTurns:
    """`Turns` by a record per job."""

    connections: Connections

    def __call__(
        self, job: str, *, every: timedelta
    ) -> AbstractAsyncContextManager[RunningJob | None]:
        """One host's turn; see `Turns`."""
        return storage.turn(self.connections, job, every=every, again=min(AGAIN, every))


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The jobs themselves."""

    copy: Copy
    settings: Settings

    async def purge(self) -> Mapping[str, Any]:
        """Delete tombstones that nothing can outdate, totals without lines, and what happened long ago."""
        tombstones = await _until_less(
            lambda: storage.purge_tombstones(self.copy.connections, limit=PURGED_AT_ONCE)
        )
        totals = await _until_less(
            lambda: storage.purge_empty_totals(self.copy.connections, limit=PURGED_AT_ONCE)
        )
        age = timedelta(days=self.settings.timeline_days)
        entries = await forget_entries(self.copy.connections, age=age)
        return {"tombstones": tombstones, "totals": totals, "timeline": entries}

    async def forget_closed(self) -> Mapping[str, Any]:
        """Delete quarantine entries that were closed long ago."""
        age = timedelta(days=self.settings.housekeeping_closed_days)
        entries = await _until_less(
            lambda: storage.purge_closed_entries(
                self.copy.connections, age=age, limit=PURGED_AT_ONCE
            )
        )
        return {"entries": entries}

    async def retry(self) -> Mapping[str, Any]:
        """Ask for quarantined documents that may have changed again."""
        return {str(outcome): count for outcome, count in (await self.copy.retry_due()).items()}

    async def verify(self) -> Mapping[str, Any]:
        """Compare container and copy, and mend what differs if that is wanted.

        Raises:
            Postponed: A range is still being filled.
        """
        ranges = await live_ranges(self.copy.connections, self.copy.opened.container_rid)
        if not ranges or any(one.replaying or not one.started for one in ranges):
            raise Postponed("a replay is under way")
        report = await self.copy.verify(repair=self.settings.housekeeping_repair, parts_at_once=1)
        return self.copy.outcome(report)


def housekeeping(copy: Copy, settings: Settings) -> Housekeeping:
    """All jobs whose interval is not 0."""
    work = Work(copy=copy, settings=settings)
    jobs = (
        ("purge", settings.housekeeping_purge_hours, work.purge),
        ("forget_closed", settings.housekeeping_purge_hours * 24, work.forget_closed),
        ("retry", settings.housekeeping_retry_hours, work.retry),
        (VERIFICATION, settings.housekeeping_verify_hours, work.verify),
    )
    return Housekeeping(
        jobs=[
            Job(name=name, every=timedelta(hours=hours), work=run)
            for name, hours, run in jobs
            if hours
        ],
        turns=DatabaseTurns(connections=copy.connections),
    )


async def _until_less(purge: Callable[[], Awaitable[int]]) -> int:
    """Purge in steps until one finds fewer than a step's worth; returns how many in all."""
    purged = 0
    while True:
        step = await purge()
        purged += step
        if step < PURGED_AT_ONCE:
            return purged
