"""When the past is written down, for how long it is kept, and the states of days: what housekeeping does.

A span of history begins once the first load is over: every range complete, and no replay open. It begins
under a lock that lets nobody write rows, so every change is either in what was found or in the log. Once it
was switched off, nothing of before can be told from the rows any more.

The log has a part for each month, made ahead. What no part is there for goes into one of its own, and is
moved when its month is made; so nothing that is missing here stops a batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from projector.core.errors import ConfigurationError, SinkRefused, SinkUnavailable
from projector.postgres.connections import Connections, Session
from projector.postgres.days import days_of
from projector.postgres.errors import LOCK_TIMEOUT
from projector.postgres.generation import FIRST_GENERATION, Generation
from projector.postgres.history import log_of
from projector.postgres.sweep import SCAN_SECONDS, allow_scan
from projector.postgres.templates import filled

MONTHS_AHEAD = 2
SETTLING_SECONDS = 10.0
LOOK_SECONDS = 0.2

# Nobody is kept waiting for long by who waits here.
BRIEFLY = "SELECT set_config('lock_timeout', '1s', true)"

CONFIGURE = """
INSERT INTO projector.history_settings AS s (recording, abandoned_after, time_zone)
VALUES (%(recording)s, %(abandoned_after)s, %(time_zone)s)
ON CONFLICT (one_row) DO UPDATE SET recording = excluded.recording,
  abandoned_after = excluded.abandoned_after, time_zone = excluded.time_zone
WHERE (s.recording, s.abandoned_after, s.time_zone)
  IS DISTINCT FROM (excluded.recording, excluded.abandoned_after, excluded.time_zone)"""

OPEN_SPAN = """
SELECT began_at, found FROM projector.history
WHERE projection = %(projection)s AND generation = %(generation)s AND ended_at IS NULL"""

# Whoever writes rows has that lock on them until COMMIT.
NO_WRITES = "LOCK TABLE {rows} IN SHARE MODE"

IS_COMPLETE = """
SELECT h.recording AND r.complete AND r.least = '' AND r.most = 'FF' AND r.gaps = 0
FROM projector.history_settings h, (
  SELECT bool_and(placed AND complete) AS complete, min(min_epk) AS least, max(max_epk) AS most,
    count(*) FILTER (WHERE reached IS NOT NULL AND reached < min_epk) AS gaps
  FROM (SELECT r.min_epk, r.max_epk, r.placed,
          max(r.max_epk) OVER (ORDER BY r.min_epk, r.max_epk
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached,
          p.complete_at IS NOT NULL AND NOT EXISTS (SELECT FROM replays o
            WHERE o.range_id = r.id AND o.phase IN ('requested', 'running')) AS complete
        FROM ranges r LEFT JOIN range_reports p ON p.range_id = r.id
        WHERE r.retired_at IS NULL) AS ranges) AS r"""

BEGIN_SPAN = """
INSERT INTO projector.history (projection, generation, began_at, known_from)
SELECT %(projection)s, %(generation)s, now, now FROM clock_timestamp() AS now"""

# What is not read yet reaches no time of the past.
BEGIN_UNREAD = """
INSERT INTO projector.history (projection, generation, began_at, known_from, found)
SELECT %(projection)s, %(generation)s, clock_timestamp(), 'infinity', %(found)s
FROM projector.history_settings WHERE recording
ON CONFLICT DO NOTHING"""

READ_FROM_NOW = """
UPDATE projector.history SET known_from = now()
WHERE projection = %(projection)s AND generation = %(generation)s AND ended_at IS NULL"""

END_SPAN = """
UPDATE projector.history SET ended_at = clock_timestamp()
WHERE projection = %(projection)s AND ended_at IS NULL"""

COUNT_FOUND = """
UPDATE projector.history SET found = (SELECT count(*) FROM {schema}.{rows}_as_of(known_from))
WHERE projection = %(projection)s AND generation = %(generation)s AND ended_at IS NULL
  AND known_from = began_at"""

MONTHS = """
SELECT to_char(m, 'YYYY_MM'), m AS since, m + interval '1 month' AS until,
  to_regclass(%(log)s || to_char(m, '_YYYY_MM')) IS NOT NULL AS there
FROM (SELECT generate_series(date_trunc('month', now()),
        date_trunc('month', now()) + make_interval(months => %(ahead)s), interval '1 month') AS m
      UNION SELECT date_trunc('month', projected_at) FROM {log}_other) AS wanted
ORDER BY m"""

# Who writes to the log finds the new part, because he waits for this lock before he looks for one.
NO_EVENTS = "LOCK TABLE {log} IN SHARE ROW EXCLUSIVE MODE"
ADD_MONTH = "CREATE TABLE {log}_{month} (LIKE {log} INCLUDING DEFAULTS INCLUDING INDEXES)"
IDENTIFY_MONTH = "ALTER TABLE {log}_{month} REPLICA IDENTITY FULL"
MOVE_MONTH = """
WITH moved AS (
  DELETE FROM {log}_other WHERE projected_at >= %(since)s AND projected_at < %(until)s RETURNING *)
INSERT INTO {log}_{month} SELECT * FROM moved"""
ATTACH_MONTH = (
    "ALTER TABLE {log} ATTACH PARTITION {log}_{month} FOR VALUES FROM ('{since}') TO ('{until}')"
)

OLD_MONTHS = """
SELECT c.relname, to_date(right(c.relname, 7), 'YYYY_MM')::timestamptz + interval '1 month'
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = %(log)s::regclass AND c.relname ~ '_[0-9]{4}_[0-9]{2}$'
  AND to_date(right(c.relname, 7), 'YYYY_MM')
    < date_trunc('month', now()) - make_interval(months => %(keep)s)
ORDER BY 1"""

FORGET_BEFORE = """
UPDATE projector.history SET known_from = %(until)s
WHERE projection = %(projection)s AND known_from < %(until)s"""

# Days that are over and not taken: from the one in which history first began.
DUE_DAYS = """
SELECT d::date, (d::date + 1)::timestamp AT TIME ZONE s.time_zone AS ends_at
FROM projector.history_settings AS s
CROSS JOIN LATERAL (
  SELECT COALESCE(
    (SELECT max(day) + 1 FROM projector.days WHERE projection = %(projection)s),
    (SELECT (min(began_at) AT TIME ZONE s.time_zone)::date FROM projector.history
     WHERE projection = %(projection)s)) AS day) AS first
CROSS JOIN LATERAL generate_series(first.day,
  (now() AT TIME ZONE s.time_zone)::date - 1, interval '1 day') AS d
ORDER BY d LIMIT 400"""

# One that ended before history reaches, or between two stretches of it, is not known and never will be.
TAKE_DAY = """
INSERT INTO projector.days (projection, day, ends_at, time_zone, known, taken_at)
SELECT %(projection)s, %(day)s, %(ends_at)s, s.time_zone, EXISTS (
    SELECT FROM projector.history h
    WHERE h.projection = %(projection)s AND h.generation = %(generation)s
      AND h.ended_at IS NULL AND h.known_from <= %(at)s), now()
FROM projector.history_settings AS s
ON CONFLICT (projection, day) DO NOTHING
RETURNING known"""

SNAPSHOT = """
SELECT pg_snapshot_xmin(s)::text::numeric, pg_snapshot_xmax(s)::text::numeric
FROM pg_current_snapshot() AS s"""


async def begin_unread(session: Session, generation: Generation, *, found: int | None) -> None:
    """A generation is loaded and nobody writes it yet: what becomes of its rows is written down from here."""
    if generation.definition.history is not None:
        await session.execute(BEGIN_UNREAD, {**_about(generation), "found": found})


async def read_from_now(session: Session, generation: Generation) -> None:
    """The views read it from this transaction on; times of before were another one's."""
    await session.execute(READ_FROM_NOW, _about(generation))


def _about(generation: Generation) -> dict[str, Any]:
    return {"projection": generation.definition.name, "generation": generation.id}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingOptions:
    """What a person has chosen.

    Attributes:
        on: what happens is written down.
        keep_months: whole months that events are kept; 0: for ever.
        time_zone: of days, by its IANA name.
        abandoned_after: without a touch for so long.
    """

    on: bool = True
    keep_months: int = 13
    time_zone: str = "UTC"
    abandoned_after: timedelta = timedelta(hours=24)


class Recording:
    """The history of one generation: switched on and off, cut into months, and its days taken."""

    def __init__(
        self,
        connections: Connections,
        options: RecordingOptions,
        *,
        generation: Generation = FIRST_GENERATION,
    ) -> None:
        """Keep the history of that generation; its definition has one."""
        self._connections = connections
        self._options = options
        self._generation = generation
        self._log = log_of(generation.definition)
        self._about = _about(generation)

    async def configure(self) -> None:
        """Let views and hosts know what was chosen; the host that starts last decides.

        Raises:
            ConfigurationError: The server knows no such time zone.
        """
        options = self._options
        chosen = {
            "recording": options.on,
            "abandoned_after": options.abandoned_after,
            "time_zone": options.time_zone,
        }
        async with self._connections.transaction() as session:
            try:
                await session.execute("SELECT now() AT TIME ZONE %s", [options.time_zone])
            except psycopg.errors.InvalidParameterValue as error:
                raise ConfigurationError(
                    f"PROJECTOR_DAYS_TIME_ZONE: PostgreSQL knows no time zone {options.time_zone!r};"
                    " give an IANA name such as Europe/Berlin"
                ) from error
            await session.execute(CONFIGURE, chosen)
            if not options.on:
                await session.execute(END_SPAN, self._about)

    async def keep(self) -> Mapping[str, Any]:
        """All that is due; what was done, by its name. What is locked by others waits for the next time."""
        done: dict[str, Any] = {}
        for name, work in (
            ("began", self.begin),
            ("found", self._count),
            ("months", self._add_months),
            ("forgotten", self._forget),
            ("days", self._take_days),
        ):
            try:
                result: object = await work()
            except SinkRefused as error:  # a right that is missing keeps nobody from writing rows
                result = str(error)
            except SinkUnavailable as error:
                if error.sqlstate != LOCK_TIMEOUT:
                    raise
                result = "waits for a lock"
            if result:
                done[name] = result
        return done

    async def begin(self) -> bool:
        """Begin a span if the copy is complete and none is open; as `keep` does."""
        async with self._connections.transaction() as session:
            await session.execute(BRIEFLY)
            if await self._span(session) is not None or not await self._is_complete(session):
                return False
            await session.execute(filled(NO_WRITES, rows=self._generation.rows))
            if await self._span(session) is not None or not await self._is_complete(session):
                return False
            with suppress(psycopg.errors.InsufficientPrivilege):
                async with session.transaction():
                    await self._make_months(session)
            await session.execute(BEGIN_SPAN, self._about)
            return True

    async def _is_complete(self, session: Session) -> bool:
        row = await (await session.execute(IS_COMPLETE)).fetchone()
        return row is not None and bool(row[0])

    async def _span(self, session: Session) -> Sequence[Any] | None:
        return await (await session.execute(OPEN_SPAN, self._about)).fetchone()

    async def _count(self) -> int | None:
        """The summary of what was found, counted without keeping anybody waiting."""
        async with self._connections.transaction(seconds=SCAN_SECONDS) as session:
            span = await self._span(session)
            if span is None or span[1] is not None:
                return None
            await allow_scan(session)
            definition = self._generation.definition
            text = filled(COUNT_FOUND, schema=definition.schema, rows=definition.rows)
            await session.execute(text, self._about)
            span = await self._span(session)
            return None if span is None else span[1]

    async def _add_months(self) -> list[str]:
        async with self._connections.transaction(seconds=SCAN_SECONDS) as session:
            await session.execute(BRIEFLY)
            return await self._make_months(session)

    async def _make_months(self, session: Session) -> list[str]:
        wanted = {"log": self._log, "ahead": MONTHS_AHEAD}
        await allow_scan(session)
        cursor = await session.execute(filled(MONTHS, log=self._log), wanted)
        made = []
        for month, since, until, there in await cursor.fetchall():
            if not there:
                await self._add_month(session, month, since, until)
                made.append(month)
        return made

    async def _add_month(
        self, session: Session, month: str, since: datetime, until: datetime
    ) -> None:
        names = {"log": self._log, "month": month}
        await session.execute(filled(NO_EVENTS, **names))
        await session.execute(filled(ADD_MONTH, **names))
        await session.execute(filled(IDENTIFY_MONTH, **names))
        await session.execute(filled(MOVE_MONTH, **names), {"since": since, "until": until})
        bounds = {"since": since.isoformat(), "until": until.isoformat()}
        await session.execute(filled(ATTACH_MONTH, **names, **bounds))

    async def _forget(self) -> list[str]:
        """Drop the months that are kept no longer; the first time that is known moves with them."""
        if not self._options.keep_months:
            return []
        about = {"log": self._log, "keep": self._options.keep_months}
        dropped = []
        async with self._connections.transaction() as session:
            await session.execute(BRIEFLY)
            for name, until in await (await session.execute(OLD_MONTHS, about)).fetchall():
                await session.execute(FORGET_BEFORE, {**self._about, "until": until})
                await session.execute(f"DROP TABLE projector.{name}")
                dropped.append(name)
        return dropped

    async def _take_days(self) -> list[str]:
        async with self._connections.session() as session:
            due = await (await session.execute(DUE_DAYS, self._about)).fetchall()
        if not due or not await self._settled():
            return []
        return [str(day) for day, ends_at in due if await self._take_day(day, ends_at)]

    async def _take_day(self, day: object, ends_at: datetime) -> bool:
        definition = self._generation.definition
        at = ends_at.astimezone(UTC) - timedelta(microseconds=1)
        about = {**self._about, "day": day, "ends_at": ends_at, "at": at}
        async with self._connections.transaction(seconds=SCAN_SECONDS) as session:
            await allow_scan(session)
            row = await (await session.execute(TAKE_DAY, about)).fetchone()
            if row is not None and row[0]:
                for one in days_of(definition):
                    await session.execute(one.taking(definition), about)
            return row is not None

    async def _settled(self) -> bool:
        """Whether everybody who may have written before this moment has committed or gone.

        An event bears a time of before its commit: a day may be taken when none of it is still to come.
        """
        newest = None
        for _ in range(round(SETTLING_SECONDS / LOOK_SECONDS)):
            async with self._connections.session() as session:
                row = await (await session.execute(SNAPSHOT)).fetchone()
            oldest_running, next_one = row or (0, 0)
            newest = next_one if newest is None else newest
            if oldest_running >= newest:
                return True
            await asyncio.sleep(LOOK_SECONDS)
        return False
