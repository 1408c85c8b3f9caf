"""Everything the tables hold of one key, read under one snapshot; bounded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from projector.core.epk import epk_of_json
from projector.ports.explanation import StoredEntry, StoredKey, StoredPosition, StoredRow
from projector.postgres.connections import Connections, Session, all_rows
from projector.postgres.generation import FIRST_GENERATION, Generation
from projector.postgres.templates import each, filled

MOST = 1000

ROWS = """
SELECT id, lineage, lsn, ts, etag, deleted, ARRAY[{values}]::text[] AS texts
FROM {rows} WHERE {key} = %(key)s ORDER BY id LIMIT %(most)s"""

# The text of the partition key, not its hash, because ids are not known (with a backslash before it
# where the id cannot be read); so a scan of what is
# open, and of what closed and was not purged yet.
ENTRIES = """
SELECT id AS entry_id, document_id, status, reason, detail, lineage, lsn, etag, last_seen_at
FROM quarantine WHERE partition_key IN (
  to_json(%(key)s::text)::text, chr(92) || to_json(%(key)s::text)::text)
ORDER BY document_id LIMIT %(most)s"""

# An owner tells of itself every second; whoever has not for a while, or has stopped, is none.
POSITION = """
SELECT r.lease_token, CASE WHEN s.speaks THEN r.owner END AS owner, r.lineage, r.lsn,
  r.position_time AS time, r.last_commit_at, r.read_since, EXISTS (SELECT FROM replays p
    WHERE p.range_id = r.id AND p.phase IN ('requested', 'running')) AS replay_open,
  CASE WHEN s.speaks THEN s.state END AS state, s.last_error
FROM ranges r
LEFT JOIN (SELECT lease_token, state, failure ->> 'message' AS last_error,
    state <> 'stopped' AND reported_at > now() - interval '10 seconds' AS speaks
  FROM range_reports) s ON s.lease_token = r.lease_token
WHERE r.container_rid = %(rid)s AND r.retired_at IS NULL
  AND r.min_epk <= %(epk)s AND r.max_epk > %(epk)s"""


async def stored_key(
    connections: Connections,
    *,
    container_rid: str,
    key: str,
    partition_key_json: str,
    generation: Generation = FIRST_GENERATION,
) -> StoredKey:
    """What is stored of that key, at most a thousand rows and entries."""
    parameters = {
        "key": key,
        "rid": container_rid,
        "epk": epk_of_json(partition_key_json),
        "most": MOST,
    }
    async with connections.transaction() as session:
        await session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        positions = await all_rows(session, StoredPosition, POSITION, parameters)
        return StoredKey(
            rows=await _rows(session, generation, parameters),
            entries=tuple(await all_rows(session, StoredEntry, ENTRIES, parameters)),
            position=positions[0] if positions else None,
        )


def rows_statement(generation: Generation) -> str:
    """The rows of one key, tombstones included, with their values as text."""
    definition = generation.definition
    return filled(
        ROWS,
        values=each("{}::text", definition.columns),
        rows=generation.rows,
        key=definition.key.column,
    )


async def _rows(
    session: Session, generation: Generation, parameters: Mapping[str, Any]
) -> tuple[StoredRow, ...]:
    columns = generation.definition.columns
    rows = await all_rows(session, dict, rows_statement(generation), parameters)
    return tuple(
        StoredRow(values=dict(zip(columns, row.pop("texts"), strict=True)), **row) for row in rows
    )
