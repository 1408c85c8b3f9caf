"""Storage that would grow for ever: tombstones, empty totals, closed entries; and who ran when.

A tombstone may go when no older version of its document can still arrive: (1) no older epoch can
commit, which the fence sees to; (2) a page whose read began after the tombstone's commit has been
committed; (3) no replay of the range is open; (4) whoever read the document meanwhile is refused:
the range remembers up to which tick tombstones are gone (`purged_tick`, see `sweep.ReadMark`).

For (2) each commit of a range takes the next tick. At most two batches are in flight and the reader
holds one page more, so every page of a batch was read after the commit of the fourth batch before
it: that one's tick becomes the range's `read_tick`, and opening a range fills all four places.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

from projector.core.errors import SinkUnavailable
from projector.ports.copy import HousekeepingRun
from projector.ports.ranges import StoredRange
from projector.postgres.beside import beside
from projector.postgres.connections import Connections
from projector.postgres.deltas import in_locking_order
from projector.postgres.generation import FIRST_GENERATION, Generation, key_columns
from projector.postgres.ranges import bounds, live_ranges
from projector.postgres.sweep import SCAN_SECONDS, allow_scan
from projector.postgres.templates import filled

# Who has a job says so again and again, so that a host that died gives up its turn. A lock of the
# session would do that too, but such locks can be taken by whoever may connect.
HELD_SECONDS = 120.0
RENEW_SECONDS = 30.0

PURGEABLE = """
UPDATE ranges r SET purged_tick = GREATEST(purged_tick, read_tick)
WHERE r.id = %(range_id)s AND r.retired_at IS NULL AND r.read_tick > 0 AND NOT EXISTS (
  SELECT FROM replays p
  WHERE p.range_id = r.id AND p.phase IN ('requested', 'running'))
RETURNING read_tick"""

PURGE = """
DELETE FROM {rows} WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM {rows}
  WHERE deleted AND epk BETWEEN %(low)s AND %(high)s AND tombstone_tick <= %(read_tick)s
  LIMIT %(limit)s))"""

# Locked in key order, as batches lock them; one that a batch holds is left for the next time.
EMPTY_TOTALS = """
DELETE FROM {total} WHERE {row_count} = 0 AND ctid = ANY (ARRAY(
  SELECT ctid FROM {total} WHERE {row_count} = 0
  ORDER BY {keys} LIMIT %(limit)s FOR UPDATE SKIP LOCKED))"""

CLOSED_ENTRIES = """
DELETE FROM quarantine WHERE id = ANY (ARRAY(
  SELECT id FROM quarantine
  WHERE status = 'closed' AND closed_at < now() - %(age)s LIMIT %(limit)s))"""

TAKE_TURN = """
INSERT INTO projector.housekeeping_runs AS h (job, last_started_at, holder, held_until)
VALUES (%(job)s, now(), %(holder)s, now() + %(held)s)
ON CONFLICT (job) DO UPDATE SET last_started_at = now(), last_ended_at = NULL,
  holder = excluded.holder, held_until = excluded.held_until
WHERE COALESCE(h.held_until < now(), true)
  AND COALESCE(h.last_success_at <= now() - %(every)s::interval, true)
  AND (h.last_error IS NULL AND h.postponed IS NULL
    OR COALESCE(h.last_ended_at <= now() - %(again)s::interval, true))"""

RENEW_TURN = """
UPDATE projector.housekeeping_runs SET held_until = now() + %(held)s
WHERE job = %(job)s AND holder = %(holder)s"""

END_TURN = """
UPDATE projector.housekeeping_runs SET last_ended_at = now(), last_error = %(error)s,
  postponed = %(postponed)s,
  last_success_at = CASE WHEN %(done)s THEN now() ELSE last_success_at END,
  result = CASE WHEN %(done)s THEN %(result)s::jsonb ELSE result END,
  holder = NULL, held_until = NULL
WHERE job = %(job)s AND holder = %(holder)s"""

RECORD_RUN = """
INSERT INTO projector.housekeeping_runs AS h
  (job, last_started_at, last_ended_at, last_success_at, result)
VALUES (%(job)s, now(), now(), now(), %(result)s::jsonb)
ON CONFLICT (job) DO UPDATE SET last_success_at = now(), result = excluded.result"""

FORGET_RUNS = "DELETE FROM projector.housekeeping_runs WHERE job = ANY(%s)"

RUNS = """
SELECT job, last_success_at, last_error, result,
  CASE WHEN COALESCE(last_success_at < last_ended_at, true) THEN postponed END AS postponed
FROM projector.housekeeping_runs ORDER BY job"""


@dataclass(slots=True, kw_only=True)
class RunningJob:
    """A job in its turn; what it puts into `result` is kept, unless it is put off and says why."""

    result: dict[str, Any] = field(default_factory=dict)
    postponed: str | None = None


async def purge_tombstones(
    connections: Connections, *, limit: int = 10_000, generation: Generation = FIRST_GENERATION
) -> int:
    """Delete at most `limit` tombstones per range that nothing can outdate; returns how many."""
    purged = 0
    for position in await live_ranges(connections):
        purged += await _purge_range(connections, position, limit=limit, generation=generation)
    return purged


async def purge_empty_totals(
    connections: Connections, *, limit: int = 10_000, generation: Generation = FIRST_GENERATION
) -> int:
    """Delete totals of groups without rows; returns how many."""
    purged = 0
    for statement in empty_totals(generation):
        async with connections.transaction(seconds=SCAN_SECONDS) as session:
            await allow_scan(session)
            purged += (await session.execute(statement, {"limit": limit})).rowcount
    return purged


def empty_totals(generation: Generation) -> list[str]:
    """A statement for each total, in the order in which everybody locks them."""
    return [
        filled(
            EMPTY_TOTALS,
            total=generation.table(total.name),
            row_count=total.row_count,
            keys=key_columns(total),
        )
        for total in in_locking_order(generation.definition)
    ]


async def purge_closed_entries(
    connections: Connections, *, age: timedelta, limit: int = 10_000
) -> int:
    """Delete quarantine entries that were closed longer ago than `age`; returns how many."""
    async with connections.session() as session:
        cursor = await session.execute(CLOSED_ENTRIES, {"age": age, "limit": limit})
    return cursor.rowcount


@asynccontextmanager
async def turn(
    connections: Connections,
    job: str,
    *,
    every: timedelta | None = None,
    again: timedelta = timedelta(0),
) -> AsyncIterator[RunningJob | None]:
    """One host's turn at a job; None when another host has it, or it is not due.

    Due by the clock of the database: `every` after the last success (None: always), and not
    before `again` after a failure. A host that dies loses its turn two minutes later. Start and end
    are recorded.
    """
    held = timedelta(seconds=HELD_SECONDS)
    mine = {"job": job, "holder": uuid4().hex, "held": held, "every": every, "again": again}
    async with connections.session() as session:
        taken = (await session.execute(TAKE_TURN, mine)).rowcount == 1
    if not taken:
        yield None
        return
    renewing = beside(_renew(connections, mine), name=f"housekeeping:{job}:turn")
    async with renewing, _recorded(connections, mine) as running:
        yield running


@asynccontextmanager
async def _recorded(connections: Connections, mine: Mapping[str, Any]) -> AsyncIterator[RunningJob]:
    running, error = RunningJob(), None
    try:
        yield running
    except Exception as failure:
        error = f"{type(failure).__name__}: {failure}"
        raise
    except BaseException:
        running.postponed = "it was cut short"
        raise
    finally:
        end = {
            **mine,
            "error": error,
            "postponed": running.postponed,
            "done": error is None and running.postponed is None,
            "result": json.dumps(running.result),
        }
        async with connections.session() as session:
            await session.execute(END_TURN, end)


async def _renew(connections: Connections, mine: Mapping[str, Any]) -> None:
    while True:
        await asyncio.sleep(RENEW_SECONDS)
        with suppress(SinkUnavailable):
            async with connections.session() as session:
                await session.execute(RENEW_TURN, mine)


async def record_run(connections: Connections, job: str, result: Mapping[str, Any]) -> None:
    """Note the success of a job that a person ran out of turn."""
    async with connections.session() as session:
        await session.execute(RECORD_RUN, {"job": job, "result": json.dumps(result)})


async def forget_runs(connections: Connections, jobs: Sequence[str]) -> None:
    """Tell no longer of jobs that nobody will ever run again."""
    async with connections.session() as session:
        await session.execute(FORGET_RUNS, [list(jobs)])


async def housekeeping_runs(connections: Connections) -> list[HousekeepingRun]:
    """Every job that ever ran."""
    return await connections.all_rows(HousekeepingRun, RUNS)


async def _purge_range(
    connections: Connections, stored: StoredRange, *, limit: int, generation: Generation
) -> int:
    low, high = bounds(stored.feed_range)
    async with connections.transaction() as session:
        cursor = await session.execute(PURGEABLE, {"range_id": stored.range_id})
        row = await cursor.fetchone()
        if row is None:
            return 0
        parameters = {"low": low, "high": high, "read_tick": row[0], "limit": limit}
        return (await session.execute(filled(PURGE, rows=generation.rows), parameters)).rowcount
