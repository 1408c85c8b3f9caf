"""Quarantine inside a batch: storing rejections, and tying rows to them.

One entry per document (hash of partition key as JSON text and id), holding its newest rejected
version. An entry never goes back to an older version; a version that was discarded stays so when
it is delivered again; a newer rejected one opens the entry anew. The row of a rejected newest
version is a tombstone marked `rejected`, so that the same version, once good, may replace it.
Healing is part of the batch statement (`statements.HEAL`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache

import msgspec

from projector.ports.feed import Grant
from projector.ports.rows import ReadMark
from projector.postgres.connections import JsonText, Session
from projector.postgres.epks import bounds
from projector.postgres.generation import Generation
from projector.postgres.statements import with_seeds
from projector.postgres.templates import each, filled
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
INSERT INTO projector.quarantine AS q (key_1, key_2, partition_key, document_id, key, epk,
  lineage, lsn, ts, etag, status, reason, detail, sqlstate, raw, last_good,
  first_seen_at, last_seen_at, seen_group)
SELECT hashtextextended(e.pk || chr(1) || e.id, {seed_1}),
  hashtextextended(e.pk || chr(1) || e.id, {seed_2}),
  e.pk, e.id, e.key, COALESCE(e.epk, %(low)s), %(lineage)s, e.lsn, e.ts, e.etag, 'open',
  e.reason, e.detail, e.sqlstate, decode(e.raw, 'base64'),
  CASE WHEN NOT t.deleted THEN (SELECT to_jsonb(good) FROM (SELECT {good}) AS good) END,
  now(), now(), r.seen_group
FROM entries e
JOIN projector.ranges r ON r.id = %(range_id)s
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
WHERE (excluded.lineage, excluded.lsn) >= (q.lineage, q.lsn)""").replace("{entries}", ENTRIES)

# A replay that brings a version older than the one at which the entry was closed brings what was
# found absent, and came back; the sweep asks.
NOTE_SEEN = with_seeds("""
UPDATE projector.quarantine q SET seen_group = r.seen_group
FROM ({entries}) e, projector.ranges r
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
UPDATE projector.quarantine q SET status = 'closed', closed_at = now(),
  lineage = %(lineage)s, lsn = k.lsn
FROM json_to_recordset(%(passed)s::json) AS k(partition_key text, id text, lsn bigint)
WHERE q.key_1 = hashtextextended(k.partition_key || chr(1) || k.id, {seed_1})
  AND q.key_2 = hashtextextended(k.partition_key || chr(1) || k.id, {seed_2})
  AND q.status <> 'closed' AND (%(lineage)s, k.lsn) > (q.lineage, q.lsn)""")

REFRESH_FLAG = """
UPDATE projector.ranges r SET quarantined = EXISTS (
  SELECT FROM projector.quarantine q
  WHERE q.status <> 'closed' AND q.epk >= %(low)s AND q.epk <= %(high)s)
WHERE r.id = %(range_id)s
RETURNING quarantined"""


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
    await session.execute(store_statement(generation), parameters)
    await session.execute(NOTE_SEEN, parameters)


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
