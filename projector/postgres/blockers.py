"""Who keeps sessions of ours waiting in PostgreSQL.

A session is ours by its application name, under our own role: of others the server need not tell what
they wait for. Locks of the server are looked at only where somebody waits.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg.rows import class_row

from projector.ports.copy import Blocker
from projector.postgres.connections import Connections

BLOCKERS = """
SELECT b.pid, COALESCE(o.usename::text, '') AS role, COALESCE(o.application_name, '') AS application,
  count(*)::int AS waiting,
  COALESCE(EXTRACT(epoch FROM clock_timestamp() - min(s.query_start)), 0)::float8 AS waited_seconds
FROM pg_catalog.pg_stat_activity s
CROSS JOIN LATERAL unnest(pg_catalog.pg_blocking_pids(s.pid)) AS b(pid)
LEFT JOIN pg_catalog.pg_stat_activity o ON o.pid = b.pid
WHERE s.datname = current_database() AND s.usename = current_user AND s.wait_event_type = 'Lock'
  AND (s.application_name = 'projector' OR left(s.application_name, 10) = 'projector ')
GROUP BY 1, 2, 3 ORDER BY waited_seconds DESC, b.pid"""


async def blockers(connections: Connections) -> Sequence[Blocker]:
    """Those for whom anybody waits this moment, longest first. Raises SinkUnavailable."""
    async with connections.session() as session:
        cursor = session.cursor(row_factory=class_row(Blocker))
        await cursor.execute(BLOCKERS)
        return await cursor.fetchall()
