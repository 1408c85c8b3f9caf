"""What the console shows of the tables, at a bounded cost: it may be looked at once a second.

A count of a view reads all of it, so it is given little time and is asked for seldom; where it does
not end in that time, the server's statistics tell about how many there are.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Sequence

from projector.core.errors import SinkTooSlow
from projector.core.names import LeaseToken
from projector.core.ranges import FeedRange
from projector.ports.console import OpenReplay, StoredSide, ViewCount
from projector.ports.generations import BEING_MADE, FillPart, GenerationRecord, GenerationState
from projector.ports.timeline import Kind
from projector.postgres.connections import Connections
from projector.postgres.fill_parts import parts_in
from projector.postgres.generation import FIRST_GENERATION, Generation
from projector.postgres.generations import records
from projector.postgres.housekeeping import housekeeping_runs
from projector.postgres.quarantine import list_entries
from projector.postgres.reports import database_time
from projector.postgres.samples import last_hour
from projector.postgres.timeline import latest_entries
from projector.projection.definition import Definition

BESIDE_THE_LIVE_ONE = (*BEING_MADE, GenerationState.FORMER)
MOST_ENTRIES = 100
MOST_REPLAYS = 200
TIMELINE_ENTRIES = 20
COUNT_MILLISECONDS = 1000
COUNT_EVERY_SECONDS = 2.0
COUNT_SHARE = 0.02
"""Of the time at most, whatever a count costs."""

REPLAYS = """
SELECT r.lease_token, r.min_epk, r.max_epk, p.phase, p.requested_at, p.mark_lsn, r.lsn
FROM replays p JOIN ranges r ON r.id = p.range_id
WHERE p.phase IN ('requested', 'running') AND r.retired_at IS NULL
ORDER BY r.min_epk LIMIT %(limit)s"""

# Of a table that no statistics were ever taken of it is -1.
ESTIMATE = "SELECT reltuples::bigint FROM pg_catalog.pg_class WHERE oid = to_regclass(%s)"


class Counts:
    """The rows of each view, counted now and then."""

    def __init__(self, connections: Connections, generation: Generation = FIRST_GENERATION) -> None:
        """Know none yet."""
        self._connections = connections
        self._generation = generation
        self._due_at = -math.inf
        self._counts: Sequence[ViewCount] = ()

    async def now(self) -> Sequence[ViewCount]:
        """The counts, as young as they can be had cheaply. Raises SinkUnavailable."""
        time = asyncio.get_running_loop().time
        began = time()
        if began >= self._due_at:
            names = _at_a_glance(self._generation.definition)
            self._counts = [await self._count(name) for name in names]
            spent = time() - began
            self._due_at = time() + max(COUNT_EVERY_SECONDS, spent / COUNT_SHARE)
        return self._counts

    async def _count(self, name: str) -> ViewCount:
        view = f"{self._generation.definition.schema}.{name}"
        try:
            # The server ends it, or a slow count would pass for a silent server.
            async with self._connections.transaction() as session:
                await session.execute(f"SET LOCAL statement_timeout = {COUNT_MILLISECONDS}")
                row = await (await session.execute(f"SELECT count(*) FROM {view}")).fetchone()  # noqa: S608 - names of the definition
        except SinkTooSlow:
            return ViewCount(view=view, rows=await self._estimate(name), estimated=True)
        return ViewCount(view=view, rows=None if row is None else int(row[0]))

    async def _estimate(self, name: str) -> int | None:
        async with self._connections.session() as session:
            found = await session.execute(ESTIMATE, [self._generation.table(name)])
            row = await found.fetchone()
        return None if row is None or row[0] < 0 else int(row[0])


def _at_a_glance(definition: Definition) -> Iterator[str]:
    """The views of rows and totals: what tells of days and events is too much to count."""
    yield definition.rows
    for total in definition.totals:
        yield total.name
        if total.bucket is not None:
            yield total.bucket.view


async def stored_side(connections: Connections, counts: Counts) -> StoredSide:
    """Look once. Raises SinkUnavailable, ConfigurationError."""
    entries = await list_entries(connections, limit=MOST_ENTRIES + 1)
    generations = [one for one in await records(connections) if one.state in BESIDE_THE_LIVE_ONE]
    return StoredSide(
        read_at=await database_time(connections),
        counts=await counts.now(),
        entries=entries[:MOST_ENTRIES],
        has_all_entries=len(entries) <= MOST_ENTRIES,
        replays=await _replays(connections),
        runs=await housekeeping_runs(connections),
        samples=await last_hour(connections),
        timeline=await latest_entries(
            connections, limit=TIMELINE_ENTRIES, without=[Kind.LEASE_MOVED]
        ),
        generations=generations,
        fill_parts=await _parts(connections, generations),
    )


async def _parts(
    connections: Connections, generations: Sequence[GenerationRecord]
) -> Sequence[FillPart]:
    """Of the one that is being filled, whose control tables are not those of our sessions."""
    for one in generations:
        if one.state is GenerationState.FILLING:
            async with connections.transaction() as session:
                path = f"pg_catalog, {one.control}, pg_temp"
                await session.execute("SELECT set_config('search_path', %s, true)", [path])
                has_parts = "SELECT to_regclass('fill_parts') IS NOT NULL"
                row = await (await session.execute(has_parts)).fetchone()
                return await parts_in(session) if row is not None and row[0] else ()
    return ()


async def _replays(connections: Connections) -> Sequence[OpenReplay]:
    async with connections.session() as session:
        rows = await (await session.execute(REPLAYS, {"limit": MOST_REPLAYS})).fetchall()
    return [
        OpenReplay(
            lease_token=LeaseToken(token),
            feed_range=FeedRange(min=low, max=high),
            phase=phase,
            requested_at=requested_at,
            mark_lsn=mark,
            lsn=lsn,
        )
        for token, low, high, phase, requested_at, mark, lsn in rows
    ]
