"""Lag and documents by the minute, for the console's plots: a day of them, never more.

Every host adds what it did to the minute's row, and what it knows of the lag of the whole: the greatest
counts. Whoever writes also drops what is older than a day, so nothing else has to.
"""

from __future__ import annotations

from collections.abc import Sequence

from projector.ports.console import Sample
from projector.postgres.connections import Connections

ADD = """
INSERT INTO projector.samples AS s (minute, documents, lag_seconds, unknown)
VALUES (date_trunc('minute', now()), %(documents)s, %(lag)s, %(lag)s::float8 IS NULL)
ON CONFLICT (minute) DO UPDATE SET documents = s.documents + excluded.documents,
  lag_seconds = GREATEST(s.lag_seconds, excluded.lag_seconds),
  unknown = s.unknown OR excluded.unknown"""

FORGET = "DELETE FROM projector.samples WHERE minute < now() - interval '1 day'"

LAST_HOUR = """
SELECT minute, documents, lag_seconds, unknown FROM projector.samples
WHERE minute >= date_trunc('minute', now()) - interval '1 hour' ORDER BY minute"""


# A quiet minute says nothing of what hosts can do.
BEST_MINUTE = """
SELECT max(documents) / 60.0::float8 FROM projector.samples WHERE documents >= %(busy)s"""
BUSY_DOCUMENTS = 6000


async def add_sample(connections: Connections, documents: int, lag_seconds: float | None) -> None:
    """Add so many documents, and the lag as it is now, to this minute. Raises SinkUnavailable."""
    async with connections.session() as session:
        await session.execute(ADD, {"documents": documents, "lag": lag_seconds})
        await session.execute(FORGET)


async def last_hour(connections: Connections) -> Sequence[Sample]:
    """The minutes of the last hour that somebody told of, oldest first. Raises SinkUnavailable."""
    return await connections.all_rows(Sample, LAST_HOUR)


async def best_pace(connections: Connections) -> float | None:
    """Documents per second of the best minute that is kept; None while none was busy. Raises SinkUnavailable."""
    row = await connections.first_row(BEST_MINUTE, {"busy": BUSY_DOCUMENTS})
    return None if row is None or row[0] is None else float(row[0])
