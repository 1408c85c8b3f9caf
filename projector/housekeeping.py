"""Work that is done now and then, on one host at a time, and never starved by deploys.

When a job is due is decided in the target: so long after its last success, whichever host that was.
Every host looks at its start and then again and again; a look that finds nothing to do costs one
short query. A job that fails is tried again after a while and disturbs nothing else. The scheduler
only rings: the work runs in tasks of our own, which end with the host.

Sole importer of APScheduler.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, timedelta
from enum import StrEnum
from typing import Any, Protocol

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

LOOK_SECONDS = 60.0
LOOKS_PER_INTERVAL = 4

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class HousekeepingEvent(StrEnum):
    """Names of the log events of this module."""

    JOB_DONE = "housekeeping_done"
    JOB_FAILED = "housekeeping_failed"
    JOB_POSTPONED = "housekeeping_postponed"


class Postponed(Exception):
    """Not now; the message says why. The job is due again after the pause of a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Something to do every so often; `work` returns what is worth keeping of a run."""

    name: str
    every: timedelta
    work: Callable[[], Awaitable[Mapping[str, Any]]]


class RunningJob(Protocol):
    """A job in its turn; what is put into `result` is kept, unless `postponed` says why it was put off."""

    result: dict[str, Any]
    postponed: str | None


class Turns(Protocol):
    """Who may run a job now; implemented by the target."""

    def __call__(
        self, job: str, *, every: timedelta
    ) -> AbstractAsyncContextManager[RunningJob | None]:
        """This host's turn, recorded; None when it is not due, or another host has it."""


class Housekeeping:
    """Runs jobs when they are due, until it is cancelled."""

    def __init__(
        self, *, jobs: Sequence[Job], turns: Turns, look_seconds: float = LOOK_SECONDS
    ) -> None:
        """Take the jobs; nothing runs before `run`."""
        self._jobs = jobs
        self._turns = turns
        self._look_seconds = look_seconds

    async def run(self) -> None:
        """Look at once, then regularly; each job by itself, never twice at a time."""
        scheduler: Any = AsyncIOScheduler(timezone=UTC)
        try:
            async with asyncio.TaskGroup() as group:
                for job in self._jobs:
                    due = asyncio.Event()
                    due.set()
                    scheduler.add_job(
                        _set_due,
                        IntervalTrigger(seconds=self._pause(job), timezone=UTC),
                        args=[due],
                        id=job.name,
                        coalesce=True,
                        misfire_grace_time=None,
                    )
                    group.create_task(self._attend(job, due), name=f"housekeeping:{job.name}")
                scheduler.start()
        finally:
            if scheduler.running:
                scheduler.shutdown(wait=False)

    def _pause(self, job: Job) -> float:
        return min(self._look_seconds, job.every.total_seconds() / LOOKS_PER_INTERVAL)

    async def _attend(self, job: Job, due: asyncio.Event) -> None:
        while True:
            await due.wait()
            due.clear()
            try:
                await self._look(job)
            except Exception as error:  # noqa: BLE001 - the last place that can report it
                log.warning(
                    HousekeepingEvent.JOB_FAILED,
                    job=job.name,
                    error=f"{type(error).__name__}: {error}",
                )

    async def _look(self, job: Job) -> None:
        async with self._turns(job.name, every=job.every) as running:
            if running is None:
                return
            try:
                running.result.update(await job.work())
            except Postponed as reason:
                running.postponed = str(reason)
                log.info(HousekeepingEvent.JOB_POSTPONED, job=job.name, reason=str(reason))
                return
            _tell(running.result)(HousekeepingEvent.JOB_DONE, job=job.name, **running.result)


def _tell(result: Mapping[str, Any]) -> Callable[..., object]:
    """Drift is something that a person wants to hear of; that nothing was to be done is not."""
    if result.get("consistent") is False:
        return log.warning
    return log.info if result else log.debug


async def _set_due(due: asyncio.Event) -> None:
    due.set()
