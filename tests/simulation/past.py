"""What the rows were now and then, kept in the database itself, and what it says of these times later.

A standby knows what was noted before it was copied, and so does its history; what was lost is lost together.
"""

from __future__ import annotations

from typing import Any

import psycopg

from tests.simulation.trade import Trade

MAKE = """
CREATE SCHEMA IF NOT EXISTS projector_past;
CREATE TABLE IF NOT EXISTS projector_past.notes (at timestamptz NOT NULL, rows jsonb NOT NULL)"""

# What is written and not committed is of a time before: then there is nothing to note.
NOBODY_WRITES = "LOCK TABLE {table} IN SHARE MODE NOWAIT"

# A history is exact wherever it begins; that hosts wait for the first load is another matter.
BEGIN = """
INSERT INTO projector.history (projection, generation, began_at, known_from)
SELECT %(projection)s, id, clock_timestamp(), clock_timestamp()
FROM projector.generations WHERE state = 'live' ON CONFLICT DO NOTHING"""

LIVE = "SELECT schema_name FROM projector.generations WHERE state = 'live'"

NOTE = "INSERT INTO projector_past.notes SELECT clock_timestamp(), {rows}"

ROWS = (
    """(SELECT COALESCE(jsonb_agg(to_jsonb(i) ORDER BY i.{key}, i.id), '[]') FROM {source} AS i)"""
)

# A time that is not known is not asked for: it would be refused.
WRONG = """
WITH n AS MATERIALIZED (
  SELECT n.at, n.rows FROM projector_past.notes AS n
  JOIN {schema}.history AS h ON h.ended_at IS NULL AND h.known_from <= n.at)
SELECT n.at, n.rows, {rows} FROM n WHERE n.rows <> {rows}"""


class Past:
    """The notes of one world."""

    def __init__(self, trade: Trade) -> None:
        definition = trade.generation.definition
        self._projection = definition.name
        rows = f"{definition.schema}.{definition.rows}"
        self._table = definition.rows
        key = definition.key.column
        self._note = NOTE.format(rows=ROWS.format(key=key, source=rows))
        of_then = ROWS.format(key=key, source=f"{rows}_as_of(n.at)")
        self._wrong = WRONG.format(rows=of_then, schema=definition.schema)

    def note(self, connection: psycopg.Connection[Any]) -> str:
        """Note the rows of now, unless somebody is writing."""
        connection.execute(MAKE)
        try:
            with connection.transaction():
                for (schema,) in connection.execute(LIVE).fetchall():
                    alone = NOBODY_WRITES.format(table=f"{schema}.{self._table}")
                    connection.execute(alone.encode())
                connection.execute(BEGIN, {"projection": self._projection})
                connection.execute(self._note.encode())
        except psycopg.errors.LockNotAvailable:
            return "somebody writes"
        return "noted"

    def wrong(self, connection: psycopg.Connection[Any]) -> list[str]:
        """What is told otherwise than it was noted."""
        connection.execute(MAKE)
        found = connection.execute(self._wrong.encode()).fetchall()
        return [f"as of {at}: {told} instead of {noted}" for at, noted, told in found]
