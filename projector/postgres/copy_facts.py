"""What PostgreSQL says of the copy, read at once: positions, reports, quarantine, verification."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from projector.ports.copy import VERIFICATION, CopyFacts, HousekeepingRun
from projector.postgres.connections import Connections
from projector.postgres.housekeeping import housekeeping_runs
from projector.postgres.quarantine import count_open
from projector.postgres.ranges import live_ranges
from projector.postgres.reports import database_time, reports

COUNT_EVERY = timedelta(seconds=30)
"""Looks come more often than that; a quarantine of a million entries costs much to count."""


async def copy_facts(connections: Connections, counted: CopyFacts | None = None) -> CopyFacts:
    """Look once; what costs much to count is taken from `counted` while that is young.

    Raises: SinkUnavailable, ConfigurationError.
    """
    now = await database_time(connections)
    if counted is None or now - counted.counted_at > COUNT_EVERY:
        counted = await _counted(connections, now)
    return replace(
        counted,
        now=now,
        positions=await live_ranges(connections),
        reports={stored.report.lease_token: stored for stored in await reports(connections)},
    )


async def _counted(connections: Connections, now: datetime) -> CopyFacts:
    runs = {run.job: run for run in await housekeeping_runs(connections)}
    verification = runs.get(VERIFICATION)
    return CopyFacts(
        now=now,
        counted_at=now,
        quarantined=await count_open(connections),
        verified_at=None if verification is None else verification.last_success_at,
        drift_found=drift_of(verification),
    )


def drift_of(run: HousekeepingRun | None) -> int | None:
    """Rows and totals that a verification found wrong and left so; None: there was none."""
    if run is None or run.result is None:
        return None
    return None if (left := run.result.get("drift_left")) is None else int(left)
