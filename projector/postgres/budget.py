"""The line of time on which all hosts of a processor book request units: one row, moved on.

By the clock of the database, so the clocks of hosts do not matter. The table is not logged: a booking costs
no write to disk, and what a crash of the server forgets is a moment's bookings.
"""

from __future__ import annotations

from dataclasses import dataclass

from projector.core.errors import SinkUnavailable
from projector.postgres.connections import Connections

# A line that is far ahead was booked by another clock, before a failover: nobody waits for that.
BOOK = """
INSERT INTO projector.request_units AS b (processor_name, booked_until)
VALUES (%(name)s, clock_timestamp() + %(seconds)s * interval '1 second')
ON CONFLICT (processor_name) DO UPDATE SET booked_until = LEAST(
    GREATEST(b.booked_until, clock_timestamp()), clock_timestamp() + interval '2 minutes')
  + %(seconds)s * interval '1 second'
RETURNING EXTRACT(epoch FROM booked_until - clock_timestamp())::float8 - %(seconds)s"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresLedger:
    """`Ledger` of one processor."""

    connections: Connections
    processor_name: str

    async def book(self, request_units: float, *, per_second: float) -> float:
        """Book behind what is booked; see `Ledger`."""
        parameters = {"name": self.processor_name, "seconds": request_units / per_second}
        row = await self.connections.first_row(BOOK, parameters)
        if row is None:  # pragma: no cover - an upsert without a condition has one row
            raise SinkUnavailable("PostgreSQL did not book request units")
        return max(0.0, float(row[0]))
