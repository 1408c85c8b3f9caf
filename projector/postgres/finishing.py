"""What is built once from the rows of a first load: keys, totals, indexes, what counts, and the ranges.

Each step is one transaction that finds out first whether it was done, under the lock of one row: whoever comes
first does it, others are told so. A step that was cut off at any point leaves nothing, and is done again.

Two rows of one key: a part that was begun anew reads all of its keys again, in a lineage above, so rows of the
lineages before go. In one lineage a scan may meet a document twice when it was deleted and created again
behind it; both are at the anchor, the feed brings the newer one after it, and either will do until then.
Expected plans: sorts and hashes of the whole table, in parallel where the server allows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import psycopg
from psycopg.rows import DictRow, dict_row

from projector.core.ranges import FeedRange
from projector.ports.filling import Filled, FinishStep, NotLoaded
from projector.postgres.connections import Connections, Session
from projector.postgres.copying import count_all, counting, trigger_of
from projector.postgres.fill_parts import anchor_of, lease_of_part
from projector.postgres.generation import Generation
from projector.postgres.ranges import bounds
from projector.postgres.sequences import lock_openings, with_epochs
from projector.postgres.sweep import allow_scan
from projector.postgres.tables import (
    past_statements,
    row_indexes,
    row_key,
    total_indexes,
    total_key,
)
from projector.postgres.templates import filled

LONGEST_SECONDS = 86_400.0

# Held until the end of the transaction; whoever does not get that very row, does not wait for it.
FIRST_PART = """
SELECT 1 FROM fill_parts WHERE id = (SELECT min(id) FROM fill_parts) FOR UPDATE SKIP LOCKED"""

# Looked at with each step: a step over rows that a failover took back would make a whole of a part.
NOT_LOADED = """
SELECT 1 WHERE NOT EXISTS (SELECT FROM fill_parts)
  OR EXISTS (SELECT FROM fill_parts WHERE phase <> 'loaded')"""

# Another process may be at a step: then there is nothing to tell.
WAITS = """
UPDATE fill_parts SET error = %s WHERE id = (
  SELECT id FROM fill_parts WHERE id = (SELECT min(id) FROM fill_parts) FOR UPDATE SKIP LOCKED)"""
GOES_ON = "UPDATE fill_parts SET error = NULL WHERE error IS NOT NULL"

IS_THERE = "SELECT 1 FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'p'"
COUNTS = "SELECT 1 FROM pg_trigger WHERE tgrelid = %s::regclass AND tgname = %s"
IS_PLACED = "SELECT 1 FROM ranges LIMIT 1"

BEGUN_ANEW = "SELECT min_epk, max_epk, lineage FROM fill_parts WHERE lineage > 0"
FORGET_ROWS = "DELETE FROM {rows} WHERE epk BETWEEN %(low)s AND %(high)s AND lineage < %(lineage)s"
FORGET_ENTRIES = """
DELETE FROM quarantine WHERE epk BETWEEN %(low)s AND %(high)s AND lineage < %(lineage)s"""

ONE_PER_KEY = """
DELETE FROM {rows} t USING (
  SELECT ctid AS at, row_number() OVER (
    PARTITION BY {key}, id ORDER BY lineage DESC, lsn DESC, ts DESC, ctid DESC) AS number
  FROM {rows}) d
WHERE t.ctid = d.at AND d.number > 1"""

# The ticks start as those of a range that is opened for the first time.
PLACE = with_epochs("""
INSERT INTO ranges (container_rid, processor_name, lease_token, min_epk, max_epk, epoch,
  opened_epoch, lineage, placed, continuation, lsn, position_time, read_since, tick, recent_ticks,
  quarantined, opened_at)
SELECT %(rid)s, %(processor)s, %(token)s, %(min)s, %(max)s, e.epoch, e.epoch, %(lineage)s, true,
  %(anchor)s, %(lsn)s, to_timestamp(%(newest_ts)s::bigint), %(since)s, 1, array_fill(1::bigint, ARRAY[4]),
  EXISTS (
    SELECT FROM quarantine q
    WHERE q.status <> 'closed' AND q.epk >= %(low)s AND q.epk <= %(high)s), now()
FROM (SELECT {next_epoch} AS epoch) e""")


class Finish:
    """`Finishing` of one generation, over connections that look up names in its control tables."""

    def __init__(
        self,
        connections: Connections,
        *,
        generation: Generation,
        container_rid: str,
        processor_name: str,
    ) -> None:
        """Place ranges of that container, for leases of that processor."""
        self._connections = connections
        self._generation = generation
        self._container_rid = container_rid
        self._processor_name = processor_name
        self._work = {
            FinishStep.KEY: self._key,
            FinishStep.TOTALS: self._totals,
            FinishStep.REST: self._rest,
            FinishStep.PLACE: self._place,
        }

    async def step(self, step: FinishStep) -> bool:
        """Do it, unless it was done; see `Finishing`."""
        async with self._connections.transaction(seconds=LONGEST_SECONDS) as session:
            if await _found(session, NOT_LOADED):
                raise NotLoaded
            if not await _found(session, FIRST_PART):
                return False
            await allow_scan(session)
            await self._work[step](session)
            await session.execute(GOES_ON)
        return True

    async def waits(self, error: str) -> None:
        """Tell why a step is not done; see `Finishing`."""
        async with self._connections.session() as session:
            await session.execute(WAITS, [error])

    async def filled(self) -> Filled:
        """What was loaded; see `Finishing`."""
        async with self._connections.session() as session:
            rows = await _parts(session)
        return Filled(
            documents=sum(row["documents"] for row in rows),
            request_units=sum(row["request_units"] for row in rows),
            bookmarks=[
                replace(lease_of_part(row), continuation=position.continuation)
                for row in rows
                if (position := anchor_of(row)) is not None
            ],
        )

    async def _key(self, session: Session) -> None:
        generation = self._generation
        if await _found(session, IS_THERE, generation.rows):
            return
        for row in await (await session.execute(BEGUN_ANEW)).fetchall():
            low, high = bounds(FeedRange(min=row[0], max=row[1]))
            at = {"low": low, "high": high, "lineage": row[2]}
            await session.execute(filled_in(FORGET_ROWS, generation), at)
            await session.execute(FORGET_ENTRIES, at)
        try:
            async with session.transaction():
                await session.execute(row_key(generation).encode())
        except psycopg.errors.UniqueViolation:
            await session.execute(filled_in(ONE_PER_KEY, generation))
            await session.execute(row_key(generation).encode())

    async def _totals(self, session: Session) -> None:
        generation = self._generation
        for total in generation.definition.totals:
            if await _found(session, IS_THERE, generation.table(total.name)):
                continue
            statements = [count_all(generation, total), total_key(generation, total)]
            for statement in (*statements, *total_indexes(generation, total)):
                await session.execute(statement.encode())

    async def _rest(self, session: Session) -> None:
        generation = self._generation
        trigger = trigger_of(generation.definition)
        if await _found(session, COUNTS, generation.rows, trigger):
            return
        tables = [generation.rows, *map(generation.table, self._names())]
        analyze = f"ANALYZE {', '.join(tables)}"
        writing = (*counting(generation), *past_statements(generation))
        for statement in (*row_indexes(generation), *writing, analyze):
            await session.execute(statement.encode())

    async def _place(self, session: Session) -> None:
        await lock_openings(session)
        if await _found(session, IS_PLACED):
            return
        for row in await _parts(session):
            await session.execute(PLACE, self._placed(row))

    def _placed(self, row: DictRow) -> Mapping[str, Any]:
        low, high = bounds(FeedRange(min=row["min_epk"], max=row["max_epk"]))
        return {
            "rid": self._container_rid,
            "processor": self._processor_name,
            "token": row["lease_token"],
            "min": row["min_epk"],
            "max": row["max_epk"],
            "lineage": row["lineage"],
            "anchor": row["anchor"],
            "lsn": row["anchor_lsn"],
            "newest_ts": row["newest_ts"],
            "since": row["since"],
            "low": low,
            "high": high,
        }

    def _names(self) -> list[str]:
        return [total.name for total in self._generation.definition.totals]


def filled_in(text: str, generation: Generation) -> bytes:
    """A statement about the rows of that generation."""
    key = generation.definition.key.column
    return filled(text, rows=generation.rows, key=key).encode()


async def _parts(session: Session) -> list[DictRow]:
    cursor = session.cursor(row_factory=dict_row)
    return await (await cursor.execute("SELECT * FROM fill_parts ORDER BY min_epk")).fetchall()


async def _found(session: Session, statement: str, *values: str) -> bool:
    return await (await session.execute(statement, values)).fetchone() is not None
