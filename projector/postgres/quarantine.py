"""Quarantine: rejections stored inside a batch, rows tied to them; and what people ask and decide of them.

One entry per document (hash of partition key as JSON text and id), holding its newest rejected
version. An entry never goes back to an older version; a version that was discarded stays so when
it is delivered again; a newer one, good or not, opens or closes the entry as if it had never been. The
row of a rejected newest version is a tombstone marked `rejected`, so that the same version, once good, may
replace it. Healing is part of the batch statement (`statements.HEAL`); a retry is a point read whose verdict
is written like any other (`sweep.VerdictStore.apply_repairs`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache

import msgspec
from psycopg.rows import class_row

from projector.ports.feed import Grant
from projector.ports.quarantine import EntryStatus, QuarantinedDocument, QuarantineEntry
from projector.ports.rows import ReadMark
from projector.ports.timeline import Kind
from projector.postgres.connections import Connections, JsonText, Session
from projector.postgres.generation import Generation
from projector.postgres.inheritance import of_generation
from projector.postgres.ranges import bounds
from projector.postgres.statements import with_seeds
from projector.postgres.templates import each, filled
from projector.postgres.timeline import record
from projector.projection.writes import PassedOver, Rejection

ENTRIES = """
SELECT r.*, CASE WHEN r.key IS NULL THEN r.partition_key ELSE to_json(r.key)::text END
  AS pk FROM json_to_recordset(%(rejections)s::json) AS r(
  partition_key text, id text, key text, epk bigint, lsn bigint, ts bigint, etag text,
  reason text, detail text, sqlstate text, raw text)"""

# An entry counts unless the row says that the document went on: to a newer version, or, at this
# one, to good or gone; but what was gone before a read began, and is found by it, came back.
STORE = with_seeds("""
WITH entries AS ({entries})
INSERT INTO quarantine AS q (key_1, key_2, partition_key, document_id, key, epk,
  lineage, lsn, ts, etag, status, reason, detail, sqlstate, raw, last_good,
  first_seen_at, last_seen_at, seen_group)
SELECT hashtextextended(e.pk || chr(1) || e.id, {seed_1}),
  hashtextextended(e.pk || chr(1) || e.id, {seed_2}),
  e.pk, e.id, e.key, COALESCE(e.epk, %(low)s), %(lineage)s, e.lsn, e.ts, e.etag, 'open',
  e.reason, e.detail, e.sqlstate, decode(e.raw, 'base64'),
  CASE WHEN NOT t.deleted THEN (SELECT to_jsonb(good) FROM (SELECT {good}) AS good) END,
  now(), now(), r.seen_group
FROM entries e
JOIN ranges r ON r.id = %(range_id)s
LEFT JOIN {rows} t ON t.{key} = e.key AND t.id = e.id
WHERE t.{key} IS NULL OR (%(lineage)s, e.lsn) > (t.lineage, t.lsn)
  OR ((%(lineage)s, e.lsn) = (t.lineage, t.lsn)
    AND (t.rejected OR t.etag = '' AND t.tombstone_tick <= %(mark_tick)s::bigint))
ORDER BY 1, 2
ON CONFLICT (key_1, key_2) DO UPDATE SET
  lineage = excluded.lineage, lsn = excluded.lsn, ts = excluded.ts, etag = excluded.etag,
  reason = excluded.reason, detail = excluded.detail, sqlstate = excluded.sqlstate,
  raw = excluded.raw, key = excluded.key, epk = excluded.epk,
  status = CASE WHEN q.status <> 'open' AND (excluded.lineage, excluded.lsn) = (q.lineage, q.lsn)
      AND (q.closed_at <= %(mark_at)s) IS NOT TRUE
    OR q.status = 'discarded' AND q.etag = excluded.etag AND q.etag <> ''
    THEN q.status ELSE 'open' END,
  closed_at = CASE WHEN (excluded.lineage, excluded.lsn) = (q.lineage, q.lsn)
    AND (q.closed_at <= %(mark_at)s) IS NOT TRUE THEN q.closed_at END,
  last_good = COALESCE(excluded.last_good, CASE WHEN q.status <> 'closed' THEN q.last_good END),
  first_seen_at = CASE WHEN q.status = 'closed' THEN excluded.first_seen_at
    ELSE q.first_seen_at END,
  count = CASE WHEN q.status = 'closed' THEN 1 ELSE q.count + 1 END,
  last_seen_at = excluded.last_seen_at, seen_group = excluded.seen_group
WHERE (excluded.lineage, excluded.lsn) >= (q.lineage, q.lsn)
RETURNING q.id, q.reason, q.status = 'open' AND q.first_seen_at = now() AS opened""").replace(
    "{entries}", ENTRIES
)

# Of a first load: no row is stored that could be newer, and no replay is open.
STORE_FIRST = with_seeds("""
INSERT INTO quarantine AS q (key_1, key_2, partition_key, document_id, key, epk, lineage, lsn, ts,
  etag, status, reason, detail, sqlstate, raw, first_seen_at, last_seen_at)
SELECT hashtextextended(e.pk || chr(1) || e.id, {seed_1}),
  hashtextextended(e.pk || chr(1) || e.id, {seed_2}),
  e.pk, e.id, e.key, COALESCE(e.epk, %(low)s), %(lineage)s, e.lsn, e.ts, e.etag, 'open',
  e.reason, e.detail, e.sqlstate, decode(e.raw, 'base64'), now(), now()
FROM ({entries}) e
ORDER BY 1, 2
ON CONFLICT (key_1, key_2) DO UPDATE SET
  lineage = excluded.lineage, lsn = excluded.lsn, ts = excluded.ts, etag = excluded.etag,
  reason = excluded.reason, detail = excluded.detail, sqlstate = excluded.sqlstate,
  raw = excluded.raw, key = excluded.key, epk = excluded.epk, last_seen_at = excluded.last_seen_at
WHERE (excluded.lineage, excluded.lsn) >= (q.lineage, q.lsn)""").replace("{entries}", ENTRIES)

# A replay that brings a version older than the one at which the entry was closed brings what was
# found absent, and came back; the sweep asks.
NOTE_SEEN = with_seeds("""
UPDATE quarantine q SET seen_group = r.seen_group
FROM ({entries}) e, ranges r
WHERE q.key_1 = hashtextextended(e.pk || chr(1) || e.id, {seed_1})
  AND q.key_2 = hashtextextended(e.pk || chr(1) || e.id, {seed_2})
  AND r.id = %(range_id)s AND r.seen_group IS NOT NULL AND q.status = 'closed'
  AND (q.lineage, q.lsn) > (%(lineage)s, e.lsn)""").replace("{entries}", ENTRIES)

MARK_ROWS = """
UPDATE {rows} t SET rejected = true
FROM json_to_recordset(%(rejections)s::json) AS r(key text, id text, lsn bigint)
WHERE t.{key} = r.key AND t.id = r.id AND t.deleted AND NOT t.rejected
  AND (t.lineage, t.lsn) = (%(lineage)s, r.lsn)"""

# Documents that became something else before they had the key of a row.
CLOSE_PASSED = with_seeds("""
UPDATE quarantine q SET status = 'closed', closed_at = now(),
  lineage = %(lineage)s, lsn = k.lsn
FROM json_to_recordset(%(passed)s::json) AS k(partition_key text, id text, lsn bigint)
WHERE q.key_1 = hashtextextended(k.partition_key || chr(1) || k.id, {seed_1})
  AND q.key_2 = hashtextextended(k.partition_key || chr(1) || k.id, {seed_2})
  AND q.status <> 'closed' AND (%(lineage)s, k.lsn) > (q.lineage, q.lsn)""")

REFRESH_FLAG = """
UPDATE ranges r SET quarantined = EXISTS (
  SELECT FROM quarantine q
  WHERE q.status <> 'closed' AND q.epk >= %(low)s AND q.epk <= %(high)s)
WHERE r.id = %(range_id)s
RETURNING quarantined"""

COLUMNS = """id, partition_key, document_id, key, status, reason, detail, sqlstate, lineage,
  lsn, ts, etag, first_seen_at, last_seen_at, closed_at, count"""

LIST = """
SELECT {columns} FROM quarantine
WHERE status = ANY(%(statuses)s) AND id > %(after)s
  AND (%(reason)s::text IS NULL OR reason = %(reason)s)
  AND (%(key)s::text IS NULL OR key = %(key)s)
ORDER BY id LIMIT %(limit)s""".replace("{columns}", COLUMNS)

# A change of the document comes with the feed. What the feed does not tell: that it was deleted
# outright, that other rules would take it, that the server would. So each entry is asked for once under
# each set of rules, and again when as much time has passed as lay before the last time.
DUE = """
SELECT {columns} FROM quarantine
WHERE status = 'open' AND id > %(after)s AND (asked_at IS NULL
  OR asked_by IS DISTINCT FROM %(rules)s OR now() >= asked_at + (asked_at - first_seen_at))
ORDER BY id LIMIT %(limit)s""".replace("{columns}", COLUMNS)

ASKED = """
UPDATE quarantine SET asked_at = now(), asked_by = %(rules)s
WHERE id = ANY(%(ids)s)"""

SHOW = "SELECT {columns} FROM quarantine WHERE id = %s".replace("{columns}", COLUMNS)

DISCARD = """
UPDATE quarantine SET status = 'discarded', closed_at = NULL
WHERE id = %s AND status = 'open' RETURNING reason"""

REOPEN = """
UPDATE quarantine SET status = 'open', closed_at = NULL
WHERE id = %s AND status = 'discarded' RETURNING reason"""


@lru_cache(maxsize=8)
def store_statement(generation: Generation) -> str:
    """Keeps rejected documents, with the last good rows."""
    definition = generation.definition
    good = [definition.key.column, "id", *definition.columns, "ts", "etag", "extra"]
    return filled(STORE, rows=generation.rows, key=definition.key.column, good=each("t.{}", good))


@lru_cache(maxsize=8)
def mark_statement(generation: Generation) -> str:
    """Marks the tombstones of rejected versions."""
    return filled(MARK_ROWS, rows=generation.rows, key=generation.definition.key.column)


async def store(
    session: Session,
    grant: Grant,
    rejections: Sequence[Rejection],
    *,
    generation: Generation,
    mark: ReadMark | None = None,
) -> None:
    """Keep rejected documents, each under its version; before the batch's rows are written.

    `mark` was noted before they were read; None: they come from the feed.
    """
    low, _ = bounds(grant.claim.feed_range)
    parameters = {
        "rejections": encoded(rejections),
        "range_id": grant.range_id,
        "lineage": grant.lineage,
        "mark_tick": None if mark is None else mark.tick,
        "mark_at": None if mark is None else mark.at,
        "low": low,  # a document without a key of its own counts as of the range it came in
    }
    stored = await (await session.execute(store_statement(generation), parameters)).fetchall()
    await session.execute(NOTE_SEEN, parameters)
    if opened := [(entry, reason) for entry, reason, is_new in stored if is_new]:
        entry, reason = min(opened)
        claim = grant.claim
        told = {"documents": len(opened), "reason": reason, "first_entry": entry}
        told |= of_generation(claim.processor_name)
        await record(
            session,
            Kind.QUARANTINE_OPENED,
            claim.lease_token,
            told,
            claim.owner,
            counted="documents",
        )


async def store_first(
    session: Session, rejections: Sequence[Rejection], *, lineage: int, low: int
) -> None:
    """Keep rejected documents of a first load; `low` is where those without a key count."""
    newest = {
        (one.partition_key, one.id): one for one in sorted(rejections, key=lambda one: one.lsn)
    }
    parameters = {"rejections": encoded(list(newest.values())), "lineage": lineage, "low": low}
    await session.execute(STORE_FIRST, parameters)


async def mark_rows(
    session: Session, grant: Grant, rejections: Sequence[Rejection], *, generation: Generation
) -> None:
    """Mark the tombstones of rejected versions; after the batch's rows were written."""
    await session.execute(
        mark_statement(generation),
        {"rejections": encoded(rejections), "lineage": grant.lineage},
    )


async def close_passed(session: Session, grant: Grant, passed: Sequence[PassedOver]) -> None:
    """Close the entries of documents that are not meant any more."""
    if not passed:
        return
    newest = {(one.partition_key, one.id): one for one in sorted(passed, key=lambda one: one.lsn)}
    storable = [
        msgspec.structs.replace(
            one, partition_key=storable_text(one.partition_key), id=storable_text(one.id)
        )
        for one in newest.values()
    ]
    parameters = {"passed": JsonText(msgspec.json.encode(storable)), "lineage": grant.lineage}
    await session.execute(CLOSE_PASSED, parameters)


async def refresh_flag(session: Session, grant: Grant) -> bool:
    """Note at the range whether it has entries that may heal, and tell it."""
    low, high = bounds(grant.claim.feed_range)
    parameters = {"range_id": grant.range_id, "low": low, "high": high}
    row = await (await session.execute(REFRESH_FLAG, parameters)).fetchone()
    return row is not None and bool(row[0])


def encoded(rejections: Sequence[Rejection]) -> JsonText:
    """The rejections as the statements' JSON parameter."""
    return JsonText(msgspec.json.encode([_storable(one) for one in rejections]))


def _storable(rejection: Rejection) -> Rejection:
    """The same with every text in a form that the server takes."""
    return msgspec.structs.replace(
        rejection,
        partition_key=storable_text(rejection.partition_key),
        id=storable_text(rejection.id),
        etag=storable_text(rejection.etag),
        detail=storable_text(rejection.detail),
    )


def storable_text(text: str) -> str:
    """Text without NUL and lone surrogates; such a text stands as a backslash and its JSON."""
    if "\0" not in text and text.isascii():
        return text
    plain = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    if plain == text and "\0" not in text:
        return text
    return "\\" + json.dumps(text)


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
    return await connections.all_rows(QuarantineEntry, LIST, parameters)


async def due_entries(
    connections: Connections, *, rules: str, after: int = 0, limit: int = 1000
) -> list[QuarantineEntry]:
    """Open entries whose document may be another, or be taken otherwise, than when last asked for."""
    return await connections.all_rows(
        QuarantineEntry, DUE, {"rules": rules, "after": after, "limit": limit}
    )


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
            "SELECT raw, last_good::text FROM quarantine WHERE id = %s", [entry_id]
        )
        row = await found.fetchone()
    if row is None:
        return None
    return QuarantinedDocument(entry=entry, raw=bytes(row[0]), last_good=row[1])


async def discard_entry(connections: Connections, entry_id: int, *, actor: str = "") -> bool:
    """Set an open entry aside for good; False when it is not open."""
    return await _decided(connections, DISCARD, entry_id, Kind.QUARANTINE_DISCARDED, actor)


async def reopen_entry(connections: Connections, entry_id: int, *, actor: str = "") -> bool:
    """Take a discarded entry up again; False when it is not discarded."""
    return await _decided(connections, REOPEN, entry_id, Kind.QUARANTINE_REOPENED, actor)


async def _decided(
    connections: Connections, statement: str, entry_id: int, kind: Kind, actor: str
) -> bool:
    async with connections.transaction() as session:
        row = await (await session.execute(statement, [entry_id])).fetchone()
        if row is None:
            return False
        await record(session, kind, str(entry_id), {"reason": row[0]}, actor)
    return True


async def count_open(connections: Connections) -> int:
    """How many entries are open."""
    row = await connections.first_row("SELECT count(*) FROM quarantine WHERE status = 'open'")
    return 0 if row is None else int(row[0])
