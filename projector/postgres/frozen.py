"""Ends the session of a host that was stopped while it copies rows in.

A server that waits for the rows of a COPY heeds neither its statement timeout nor that for idle
transactions, and a stopped process still acknowledges every packet. Such a session would hold the
position of its range for ever, and with it whoever wants the range next. A host that lives sends
rows all the time and is done within milliseconds.
"""

from __future__ import annotations

from projector.postgres.connections import Connections

LOCK_TIMEOUT = "55P03"

END_FROZEN = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
  AND state = 'active' AND wait_event = 'ClientRead'
  AND ltrim(query, E' \\n') LIKE 'COPY projector%%'
  AND query_start < clock_timestamp() - make_interval(secs => %s)"""


async def end_frozen_copies(connections: Connections) -> int:
    """End the copies of this user that have waited for rows longer than a statement may take."""
    async with connections.session() as session:
        cursor = await session.execute(END_FROZEN, [connections.statement_seconds])
        row = await cursor.fetchone()
    return 0 if row is None else int(row[0])
