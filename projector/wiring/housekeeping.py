"""Which jobs a host does now and then, on its own target and container."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from projector.core.errors import LeaseError
from projector.housekeeping import Housekeeping, Job, Postponed, RunningJob
from projector.ports.copy import VERIFICATION
from projector.postgres import housekeeping as storage
from projector.postgres import retiring
from projector.postgres.bookmarks import forget_resets
from projector.postgres.bridging import bridge
from projector.postgres.connections import Connections
from projector.postgres.generation import Generation
from projector.postgres.generations import generation_of, records
from projector.postgres.ranges import live_ranges
from projector.postgres.recording import Recording, RecordingOptions
from projector.postgres.timeline import forget_entries
from projector.settings import Settings
from projector.telemetry.logs import Event
from projector.wiring.copy import Copy
from projector.wiring.generations import processor_of

AGAIN = timedelta(minutes=10)
PURGED_AT_ONCE = 10_000
RETIRE_HOURS = 1 / 6
HISTORY_HOURS = 1 / 12
"""A day is known that long after its end; the history begins that long after the first load."""

LATE_AT_MOST = timedelta(days=1)
"""A host that has not heard of the end of a generation goes on with it for less."""

RETIRE = "retire"

UPKEEP = ("purge", "forget_closed", "retry")
"""What is done for each generation, and told under its number."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


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
            lambda: storage.purge_tombstones(
                self.copy.connections, limit=PURGED_AT_ONCE, generation=self.copy.generation
            )
        )
        totals = await _until_less(
            lambda: storage.purge_empty_totals(
                self.copy.connections, limit=PURGED_AT_ONCE, generation=self.copy.generation
            )
        )
        age = timedelta(days=self.settings.timeline_days)
        entries = await forget_entries(self.copy.connections, age=age)
        snapshots = await forget_resets(self.copy.connections, age=age)
        return {
            "tombstones": tombstones,
            "totals": totals,
            "timeline": entries,
            "snapshots": snapshots,
        }

    async def forget_closed(self) -> Mapping[str, Any]:
        """Delete quarantine entries that were closed long ago."""
        age = timedelta(days=self.settings.housekeeping_closed_days)
        entries = await _until_less(
            lambda: storage.purge_closed_entries(
                self.copy.connections, age=age, limit=PURGED_AT_ONCE
            )
        )
        return {"entries": entries}

    async def history(self) -> Mapping[str, Any]:
        """Begin the history once the copy is complete; cut it into months; take the days that are over."""
        differing = await bridge(self.copy.connections, self.copy.generation)
        bridged = {} if differing is None else {"bridged": differing}
        return {**bridged, **await recording_of(self.copy).keep()}

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

    async def retire(self) -> Mapping[str, Any]:
        """Feed former generations no longer whose time is over, and drop what has ended."""
        connections = self.copy.connections
        retired = await retiring.retire(connections)
        dropped = await retiring.drop_ended(connections)
        for one in dropped:
            if one.left:
                log.warning(Event.GENERATION_KEPT, generation=one.record.id, left=list(one.left))
        await self._forget_ended()
        return {
            "retired": list(retired),
            "dropped": [one.record.id for one in dropped if not one.whole],
        }

    async def _forget_ended(self) -> None:
        """Forget leases and jobs of what has ended, whoever dropped it, and what a late host made of them."""
        since = await self._retired_last()
        for one in await records(self.copy.connections):
            if one.ended_at is not None and (since is None or one.ended_at > since - LATE_AT_MOST):
                await self._forget_leases(processor_of(one, self.settings))
                jobs = [name + _suffix(generation_of(one)) for name in UPKEEP]
                await storage.forget_runs(self.copy.connections, jobs)

    async def _retired_last(self) -> datetime | None:
        """When this was done before; None: never, so all that ever ended is looked at."""
        runs = await storage.housekeeping_runs(self.copy.connections)
        return next((one.last_success_at for one in runs if one.job == RETIRE), None)

    async def _forget_leases(self, processor_name: str) -> None:
        opened = self.copy.opened.of_processor(processor_name)
        for lease in await opened.leases.list_leases():
            with suppress(LeaseError):  # a host that has not heard of it yet may have been quicker
                await opened.leases.delete(lease)
        with suppress(LeaseError):
            await opened.markers.unmark()


def recording_options(settings: Settings) -> RecordingOptions:
    """What a person has chosen to keep of the past."""
    return RecordingOptions(
        on=settings.history,
        keep_months=settings.history_keep_months,
        time_zone=settings.days_time_zone,
        abandoned_after=timedelta(hours=settings.abandoned_after_hours),
    )


def recording_of(copy: Copy) -> Recording:
    """The history of its generation."""
    options = recording_options(copy.settings)
    return Recording(copy.connections, options, generation=copy.generation)


def upkeep(copy: Copy, settings: Settings) -> Housekeeping:
    """What every generation needs that is fed; all jobs whose interval is not 0."""
    work, which = Work(copy=copy, settings=settings), _suffix(copy.generation)
    jobs = (
        (settings.housekeeping_purge_hours, work.purge),
        (settings.housekeeping_purge_hours * 24, work.forget_closed),
        (settings.housekeeping_retry_hours, work.retry),
    )
    return _housekeeping(
        copy,
        [(f"{name}{which}", hours, run) for name, (hours, run) in zip(UPKEEP, jobs, strict=True)],
    )


def housekeeping(copy: Copy, settings: Settings) -> Housekeeping:
    """What is done for the live one alone, and for all of them together."""
    work = Work(copy=copy, settings=settings)
    jobs = (
        ("history", HISTORY_HOURS, work.history),
        (VERIFICATION, settings.housekeeping_verify_hours, work.verify),
        (RETIRE, RETIRE_HOURS, work.retire),
    )
    return _housekeeping(copy, jobs)


def _suffix(generation: Generation) -> str:
    return "" if generation.id == 1 else f"@g{generation.id}"


def _housekeeping(
    copy: Copy, jobs: Sequence[tuple[str, float, Callable[[], Awaitable[Mapping[str, Any]]]]]
) -> Housekeeping:
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
