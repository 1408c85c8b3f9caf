"""Quarantine for people: list, show, discard, and the way back by a retry.

A discarded version stays discarded when it is delivered again; a newer one, good or not, opens or
closes the entry as if it had never been. Retry is a point read whose verdict is written like any
other (`sweep.VerdictStore.apply_repairs`), so here is only what it has to know.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg.rows import class_row

from projector.ports.quarantine import EntryStatus, QuarantinedDocument, QuarantineEntry
from projector.postgres.connections import Connections

COLUMNS = """id, partition_key, document_id, key, status, reason, detail, sqlstate, lineage,
  lsn, ts, etag, first_seen_at, last_seen_at, closed_at, count"""

LIST = """
SELECT {columns} FROM projector.quarantine
WHERE status = ANY(%(statuses)s) AND id > %(after)s
  AND (%(reason)s::text IS NULL OR reason = %(reason)s)
  AND (%(key)s::text IS NULL OR key = %(key)s)
ORDER BY id LIMIT %(limit)s""".replace("{columns}", COLUMNS)

# A change of the document comes with the feed. What the feed does not tell: that it was deleted
# outright, that other rules would take it, that the server would. So each entry is asked for once under
# each set of rules, and again when as much time has passed as lay before the last time.
DUE = """
SELECT {columns} FROM projector.quarantine
WHERE status = 'open' AND id > %(after)s AND (asked_at IS NULL
  OR asked_by IS DISTINCT FROM %(rules)s OR now() >= asked_at + (asked_at - first_seen_at))
ORDER BY id LIMIT %(limit)s""".replace("{columns}", COLUMNS)

ASKED = """
UPDATE projector.quarantine SET asked_at = now(), asked_by = %(rules)s
WHERE id = ANY(%(ids)s)"""

SHOW = "SELECT {columns} FROM projector.quarantine WHERE id = %s".replace("{columns}", COLUMNS)

DISCARD = """
UPDATE projector.quarantine SET status = 'discarded', closed_at = NULL
WHERE id = %s AND status = 'open'"""

REOPEN = """
UPDATE projector.quarantine SET status = 'open', closed_at = NULL
WHERE id = %s AND status = 'discarded'"""


async def list_entries(
    connections: Connections,
    *,
    statuses: frozenset[EntryStatus] = frozenset({EntryStatus.OPEN}),
    reason: str | None = None,
    key: str | None = None,
    after: int = 0,
    limit: int = 1000,
) -> list[QuarantineEntry]:
    """Entries of these statuses by id, from behind `after`; None for all reasons, all keys."""
    parameters = {
        "statuses": [str(one) for one in statuses],
        "reason": reason,
        "key": key,
        "after": after,
        "limit": limit,
    }
    async with connections.session() as session:
        cursor = session.cursor(row_factory=class_row(QuarantineEntry))
        await cursor.execute(LIST, parameters)
        return await cursor.fetchall()


async def due_entries(
    connections: Connections, *, rules: str, after: int = 0, limit: int = 1000
) -> list[QuarantineEntry]:
    """Open entries whose document may be another, or be taken otherwise, than when last asked for."""
    async with connections.session() as session:
        cursor = session.cursor(row_factory=class_row(QuarantineEntry))
        await cursor.execute(DUE, {"rules": rules, "after": after, "limit": limit})
        return await cursor.fetchall()


async def note_asked(connections: Connections, ids: Sequence[int], *, rules: str) -> None:
    """Note that the documents of these entries were asked for just now."""
    async with connections.session() as session:
        await session.execute(ASKED, {"rules": rules, "ids": list(ids)})


async def show_entry(connections: Connections, entry_id: int) -> QuarantinedDocument | None:
    """One entry with its document; None when there is none of that id."""
    async with connections.session() as session:
        cursor = session.cursor(row_factory=class_row(QuarantineEntry))
        entry = await (await cursor.execute(SHOW, [entry_id])).fetchone()
        if entry is None:
            return None
        found = await session.execute(
            "SELECT raw, last_good::text FROM projector.quarantine WHERE id = %s", [entry_id]
        )
        row = await found.fetchone()
    if row is None:
        return None
    return QuarantinedDocument(entry=entry, raw=bytes(row[0]), last_good=row[1])


async def discard_entry(connections: Connections, entry_id: int) -> bool:
    """Set an open entry aside for good; False when it is not open."""
    async with connections.session() as session:
        cursor = await session.execute(DISCARD, [entry_id])
    return cursor.rowcount == 1


async def reopen_entry(connections: Connections, entry_id: int) -> bool:
    """Take a discarded entry up again; False when it is not discarded."""
    async with connections.session() as session:
        cursor = await session.execute(REOPEN, [entry_id])
    return cursor.rowcount == 1


async def count_open(connections: Connections) -> int:
    """How many entries are open."""
    async with connections.session() as session:
        cursor = await session.execute(
            "SELECT count(*) FROM projector.quarantine WHERE status = 'open'"
        )
        row = await cursor.fetchone()
    return 0 if row is None else int(row[0])
