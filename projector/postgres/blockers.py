"""Sessions that keep others waiting: who keeps ours, and the end of those that a stopped host left.

A session is ours by its application name, under our own role: of others the server need not tell what
they wait for. Locks of the server are looked at only where somebody waits.

A server that waits for the rows of a COPY heeds neither its statement timeout nor that for idle
transactions, and a stopped process still acknowledges every packet. Such a session would hold the
position of its range for ever, and with it whoever wants the range next. A host that lives sends
rows all the time and is done within milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    return await connections.all_rows(Blocker, BLOCKERS)


END_FROZEN = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
  AND state = 'active' AND wait_event = 'ClientRead'
  AND ltrim(query, E' \\n') LIKE 'COPY projector%%'
  AND query_start < clock_timestamp() - make_interval(secs => %s)"""


async def end_frozen_copies(connections: Connections) -> int:
    """End the copies of this user that have waited for rows longer than a statement may take."""
    row = await connections.first_row(END_FROZEN, [connections.statement_seconds])
    return 0 if row is None else int(row[0])
