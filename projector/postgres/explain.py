"""Everything the tables hold of one cart, read under one snapshot; bounded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from psycopg.rows import class_row

from projector.core.epk import epk_of_json
from projector.ports.explanation import StoredCart, StoredEntry, StoredLine, StoredPosition
from projector.postgres.connections import Connections, Session
from projector.postgres.generation import FIRST_GENERATION, Generation

T = TypeVar("T")
MOST = 1000

LINES = """
SELECT id, lineage, lsn, ts, etag, deleted, item, quantity::text, unit_price::text, currency
FROM {rows}.cart_items WHERE cart_id = %(cart_id)s ORDER BY id LIMIT %(most)s"""

# The text of the partition key, not its hash, because ids are not known (with a backslash before it
# where the id cannot be read); so a scan of what is
# open, and of what closed and was not purged yet.
ENTRIES = """
SELECT id AS entry_id, document_id, status, reason, detail, lineage, lsn, etag, last_seen_at
FROM projector.quarantine WHERE partition_key IN (
  to_json(%(cart_id)s::text)::text, chr(92) || to_json(%(cart_id)s::text)::text)
ORDER BY document_id LIMIT %(most)s"""

# An owner tells of itself every second; whoever has not for a while, or has stopped, is none.
POSITION = """
SELECT r.lease_token, CASE WHEN s.speaks THEN r.owner END AS owner, r.lineage, r.lsn,
  r.position_time AS time, r.last_commit_at, r.read_since, EXISTS (SELECT FROM projector.replays p
    WHERE p.range_id = r.id AND p.phase IN ('requested', 'running')) AS replay_open,
  CASE WHEN s.speaks THEN s.state END AS state, s.last_error
FROM projector.ranges r
LEFT JOIN (SELECT lease_token, state, failure ->> 'message' AS last_error,
    state <> 'stopped' AND reported_at > now() - interval '10 seconds' AS speaks
  FROM projector.range_reports) s ON s.lease_token = r.lease_token
WHERE r.container_rid = %(rid)s AND r.retired_at IS NULL
  AND r.min_epk <= %(epk)s AND r.max_epk > %(epk)s"""


async def stored_cart(
    connections: Connections,
    *,
    container_rid: str,
    cart_id: str,
    partition_key_json: str,
    generation: Generation = FIRST_GENERATION,
) -> StoredCart:
    """What is stored of that cart, at most a thousand lines and entries."""
    parameters = {
        "cart_id": cart_id,
        "rid": container_rid,
        "epk": epk_of_json(partition_key_json),
        "most": MOST,
    }
    async with connections.transaction() as session:
        await session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        lines = LINES.replace("{rows}", generation.schema)
        positions = await _all(session, StoredPosition, POSITION, parameters)
        return StoredCart(
            lines=await _all(session, StoredLine, lines, parameters),
            entries=await _all(session, StoredEntry, ENTRIES, parameters),
            position=positions[0] if positions else None,
        )


async def _all(
    session: Session, kind: type[T], statement: str, parameters: Mapping[str, Any]
) -> tuple[T, ...]:
    cursor = session.cursor(row_factory=class_row(kind))
    await cursor.execute(statement, parameters)
    return tuple(await cursor.fetchall())
