"""Documents of the container against rows and quarantine entries, a page at a time, set-based.

What a comparison has seen is kept as hashes of keys in temporary tables of its own session: they
cost no memory here, are not logged, and vanish with the session, however it ends. Nothing else is
written. Expected plan of a page: one function scan, one unique-index probe per document; of what
was not seen: one scan of the range's rows and an anti-join with the hashes.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from projector.core.ranges import FeedRange
from projector.ports.rows import DocumentKey, DriftKind, Verdict
from projector.ports.verification import Difference
from projector.postgres.columns import columns_of
from projector.postgres.connections import Connections, JsonText, Session
from projector.postgres.generation import Generation, quoted
from projector.postgres.quarantine import ENTRIES
from projector.postgres.quarantine import encoded as encoded_rejections
from projector.postgres.ranges import bounds
from projector.postgres.statements import stored_values, value_arrays, with_seeds
from projector.postgres.sweep import allow_scan
from projector.postgres.templates import each, filled
from projector.projection.definition import Field, Kind
from projector.projection.writes import ProjectedPage, Rejection, RowWrite

COMPARISON_SECONDS = 7 * 86_400.0
SEEN_ROW, SEEN_ENTRY, BACKLOG = 0, 1, 2

CREATE = (
    """
CREATE TEMPORARY TABLE IF NOT EXISTS verify_seen (
  kind int NOT NULL, keys_1 bigint[] NOT NULL, keys_2 bigint[] NOT NULL)""",
    """
CREATE TEMPORARY TABLE IF NOT EXISTS verify_unseen (
  place bigint PRIMARY KEY, partition_key text NOT NULL, document_id text NOT NULL)""",
    "TRUNCATE verify_seen, verify_unseen",
)

ROWS = with_seeds("""
WITH input AS MATERIALIZED (
  SELECT unnest(%(key)s::text[]) AS {key}, unnest(%(id)s::text[]) AS id,
    unnest(%(epk)s::bigint[]) AS epk, unnest(%(ts)s::bigint[]) AS ts,
    unnest(%(etag)s::text[]) AS etag, unnest(%(deleted)s::bool[]) AS deleted,
    {arrays}),
seen AS (
  INSERT INTO verify_seen (kind, keys_1, keys_2)
  SELECT %(kind)s, array_agg(hashtextextended(x.{key} || chr(1) || x.id, {seed_1})),
    array_agg(hashtextextended(x.{key} || chr(1) || x.id, {seed_2}))
  FROM input x WHERE %(kind)s::int IS NOT NULL HAVING count(*) > 0)
SELECT to_json(x.{key})::text, x.id,
  CASE WHEN x.deleted THEN 'extra' WHEN t.{key} IS NULL OR t.deleted THEN 'missing' ELSE 'stale' END,
  CASE WHEN x.deleted THEN 'the document is gone, marked or not good, and its row lives'
    WHEN t.{key} IS NULL THEN 'there is no row' WHEN t.deleted THEN 'the row is a tombstone'
    ELSE concat_ws('; ',
      {differences}CASE WHEN t.extra IS DISTINCT FROM x.extra THEN 'other fields differ' END,
      CASE WHEN t.ts <> x.ts THEN format('_ts is %%s, not %%s', t.ts, x.ts) END,
      CASE WHEN t.etag <> x.etag THEN format('_etag is %%s, not %%s', t.etag, x.etag) END,
      CASE WHEN t.epk <> x.epk THEN 'its place among the keys is wrong' END) END,
  t.lineage, t.lsn
FROM input x
LEFT JOIN {rows} t ON t.{key} = x.{key} AND t.id = x.id
WHERE CASE WHEN x.deleted THEN NOT t.deleted
  WHEN t.{key} IS NULL OR t.deleted THEN NOT EXISTS (
    SELECT FROM quarantine q
    WHERE q.key_1 = hashtextextended(to_json(x.{key})::text || chr(1) || x.id, {seed_1})
      AND q.key_2 = hashtextextended(to_json(x.{key})::text || chr(1) || x.id, {seed_2})
      AND q.status <> 'closed' AND q.reason = 'refused_by_target' AND q.etag = x.etag)
  ELSE ({stored})
    IS DISTINCT FROM ({given})
  END""")

DIFFERENCE = """CASE WHEN t.{column} IS DISTINCT FROM x.{column}
        THEN format({sentence}, {stored}, {given}) END"""
LONGEST = 60
"""Characters of a text that a difference shows."""

REJECTED = with_seeds("""
WITH input AS MATERIALIZED (
  SELECT e.pk, e.id, e.etag, hashtextextended(e.pk || chr(1) || e.id, {seed_1}) AS key_1,
    hashtextextended(e.pk || chr(1) || e.id, {seed_2}) AS key_2
  FROM ({entries}) e),
seen AS (
  INSERT INTO verify_seen (kind, keys_1, keys_2)
  SELECT %(kind)s, array_agg(key_1), array_agg(key_2)
  FROM input WHERE %(kind)s::int IS NOT NULL HAVING count(*) > 0)
SELECT x.pk, x.id, CASE WHEN q.status <> 'closed' THEN 'stale' ELSE 'missing' END,
  CASE WHEN q.status <> 'closed' THEN 'the quarantine has another version'
    ELSE 'the document is not good and not in quarantine' END, q.lineage, q.lsn
FROM input x LEFT JOIN quarantine q ON q.key_1 = x.key_1 AND q.key_2 = x.key_2
WHERE q.id IS NULL OR q.status = 'closed' OR q.etag <> x.etag""").replace("{entries}", ENTRIES)

# An entry that should not be: its document is good, marked or gone.
STRAY = with_seeds("""
SELECT q.partition_key, q.document_id, 'extra',
  'it is in quarantine, but the document is good, marked or gone', q.lineage, q.lsn
FROM json_to_recordset(%(keys)s::json) AS k(pk text, id text, etag text)
JOIN quarantine q
  ON q.key_1 = hashtextextended(k.pk || chr(1) || k.id, {seed_1})
  AND q.key_2 = hashtextextended(k.pk || chr(1) || k.id, {seed_2})
WHERE q.status <> 'closed' AND NOT (q.reason = 'refused_by_target' AND q.etag = k.etag)""")

WITHOUT_ENTRY = with_seeds("""
SELECT k.pk, k.id FROM json_to_recordset(%(keys)s::json) AS k(pk text, id text)
WHERE NOT EXISTS (SELECT FROM quarantine q
  WHERE q.key_1 = hashtextextended(k.pk || chr(1) || k.id, {seed_1})
    AND q.key_2 = hashtextextended(k.pk || chr(1) || k.id, {seed_2}) AND q.status <> 'closed')""")

# Entries whose key names no document cannot be asked for, so they are never suspected.
COLLECT = with_seeds("""
WITH seen AS (
  SELECT s.kind, k.key_1, k.key_2 FROM verify_seen s,
    unnest(s.keys_1, s.keys_2) AS k(key_1, key_2) WHERE s.kind <> 2),
unseen AS (
  SELECT to_json(t.{key})::text AS pk, t.id FROM {rows} t
  WHERE NOT t.deleted AND t.epk BETWEEN %(low)s AND %(high)s AND NOT EXISTS (
    SELECT FROM seen s WHERE s.kind = 0
      AND s.key_1 = hashtextextended(t.{key} || chr(1) || t.id, {seed_1})
      AND s.key_2 = hashtextextended(t.{key} || chr(1) || t.id, {seed_2}))
  UNION
  SELECT q.partition_key, q.document_id FROM quarantine q
  WHERE q.status <> 'closed' AND q.epk BETWEEN %(low)s AND %(high)s
    AND left(q.partition_key, 1) <> chr(92) AND NOT EXISTS (
      SELECT FROM seen s WHERE s.kind = 1 AND s.key_1 = q.key_1 AND s.key_2 = q.key_2))
INSERT INTO verify_unseen (place, partition_key, document_id)
SELECT row_number() OVER (ORDER BY pk COLLATE "C", id COLLATE "C"), pk, id FROM unseen""")

UNSEEN = """
SELECT partition_key, document_id FROM verify_unseen
WHERE place > %(after)s ORDER BY place LIMIT %(limit)s"""

NOTE_BACKLOG = with_seeds("""
INSERT INTO verify_seen (kind, keys_1, keys_2)
SELECT 2, array_agg(hashtextextended(k.pk || chr(1) || k.id, {seed_1})),
  array_agg(hashtextextended(k.pk || chr(1) || k.id, {seed_2}))
FROM json_to_recordset(%(keys)s::json) AS k(pk text, id text) HAVING count(*) > 0""")

IN_BACKLOG = with_seeds("""
WITH backlog AS (
  SELECT k.key_1, k.key_2 FROM verify_seen s,
    unnest(s.keys_1, s.keys_2) AS k(key_1, key_2) WHERE s.kind = 2)
SELECT k.pk, k.id FROM json_to_recordset(%(keys)s::json) AS k(pk text, id text)
WHERE EXISTS (SELECT FROM backlog b
  WHERE b.key_1 = hashtextextended(k.pk || chr(1) || k.id, {seed_1})
    AND b.key_2 = hashtextextended(k.pk || chr(1) || k.id, {seed_2}))""")


def rows_statement(generation: Generation) -> str:
    """What of these documents differs from its row, and how, in words."""
    definition = generation.definition
    compared = [*stored_values(definition), "ts", "etag", "epk"]
    return filled(
        ROWS,
        key=definition.key.column,
        arrays=value_arrays(definition),
        differences="".join(f"{_difference(field)},\n      " for field in definition.fields),
        rows=generation.rows,
        stored=each("t.{}", compared),
        given=each("x.{}", compared),
    )


def collect_statement(generation: Generation) -> str:
    """Finds the rows and entries of the range that no page has named."""
    return filled(COLLECT, rows=generation.rows, key=generation.definition.key.column)


def _difference(field: Field) -> str:
    stored, given = _shown(field, "t."), _shown(field, "x.")
    sentence = quoted(f"{field.name.replace('%', '%%')} is %s, not %s").replace("%", "%%")
    return filled(DIFFERENCE, column=field.column, sentence=sentence, stored=stored, given=given)


def _shown(field: Field, prefix: str) -> str:
    value = f"{prefix}{field.column}"
    if field.kind is Kind.TEXT:
        value = f"left({value}, {LONGEST})"
    elif field.kind is Kind.BOOLEAN or (field.optional and field.kind is not Kind.CODE):
        value = f"{value}::text"
    return f"COALESCE({value}, 'absent')" if field.optional else value


class SessionComparison:
    """`Comparison` in one session of the target."""

    def __init__(self, session: Session, *, generation: Generation) -> None:
        """Compare with that generation; the session's tables exist and are empty."""
        self._session = session
        self._generation = generation

    async def compare_page(self, page: ProjectedPage) -> Sequence[Difference]:
        """Remember what was seen and tell what differs; see `Comparison`."""
        return [
            *await self._rows(page.writes, kind=SEEN_ROW),
            *await self._rejected(page.rejections, kind=SEEN_ENTRY),
        ]

    async def compare(self, verdicts: Sequence[Verdict]) -> Sequence[Difference]:
        """Tell what differs now, once per document; see `Comparison`."""
        writes = [one.write for one in verdicts if one.write is not None]
        rejections = [one.rejection for one in verdicts if one.rejection is not None]
        found = [
            *await self._rows(writes, kind=None),
            *await self._rejected(rejections, kind=None),
            *await self._strays(verdicts),
        ]
        return list({one.key: one for one in reversed(found)}.values())

    async def without_entry(self, keys: Sequence[DocumentKey]) -> Sequence[DocumentKey]:
        """Rejected documents that nobody kept; see `Comparison`."""
        return await self._keys(WITHOUT_ENTRY, {"keys": _encoded_keys(keys)})

    async def collect_unseen(self, feed_range: FeedRange) -> int:
        """One anti-join with all that was seen; see `Comparison`."""
        low, high = bounds(feed_range)
        async with self._session.transaction():
            await allow_scan(self._session)
            await self._session.execute("TRUNCATE verify_unseen")
            cursor = await self._session.execute(
                collect_statement(self._generation), {"low": low, "high": high}
            )
        return cursor.rowcount

    async def unseen(self, *, after: int, limit: int) -> Sequence[DocumentKey]:
        """A page of what was collected; see `Comparison`."""
        return await self._keys(UNSEEN, {"after": after, "limit": limit})

    async def remember_backlog(self, page: ProjectedPage) -> None:
        """Note what the feed has yet to bring; see `Comparison`."""
        keys = [DocumentKey(partition_key=_pk(one), id=one.id) for one in page.writes]
        keys += [DocumentKey(partition_key=one.partition_key, id=one.id) for one in page.rejections]
        keys += [DocumentKey(partition_key=one.partition_key, id=one.id) for one in page.passed]
        await self._session.execute(NOTE_BACKLOG, {"keys": _encoded_keys(keys)})

    async def in_backlog(self, keys: Sequence[DocumentKey]) -> frozenset[DocumentKey]:
        """What of these was noted; see `Comparison`."""
        async with self._session.transaction():
            await allow_scan(self._session)
            found = await self._keys(IN_BACKLOG, {"keys": _encoded_keys(keys)})
        return frozenset(found)

    async def _rows(self, writes: Sequence[RowWrite], *, kind: int | None) -> list[Difference]:
        if not writes:
            return []
        statement = rows_statement(self._generation)
        return await self._differences(
            statement, {**columns_of(writes, self._generation.definition), "kind": kind}
        )

    async def _rejected(
        self, rejections: Sequence[Rejection], *, kind: int | None
    ) -> list[Difference]:
        if not rejections:
            return []
        parameters = {"rejections": encoded_rejections(rejections), "kind": kind}
        return await self._differences(REJECTED, parameters)

    async def _strays(self, verdicts: Sequence[Verdict]) -> list[Difference]:
        keys = [
            {
                "pk": one.key.partition_key,
                "id": one.key.id,
                "etag": "" if one.write is None else one.write.etag,
            }
            for one in verdicts
            if one.rejection is None
        ]
        return await self._differences(STRAY, {"keys": JsonText(msgspec.json.encode(keys))})

    async def _differences(self, statement: str, parameters: Mapping[str, Any]) -> list[Difference]:
        rows = await (await self._session.execute(statement, parameters)).fetchall()
        return [
            Difference(
                key=DocumentKey(partition_key=pk, id=id_),
                kind=DriftKind(kind),
                detail=detail,
                lineage=lineage,
                lsn=lsn,
            )
            for pk, id_, kind, detail, lineage, lsn in rows
        ]

    async def _keys(self, statement: str, parameters: Mapping[str, Any]) -> list[DocumentKey]:
        rows = await (await self._session.execute(statement, parameters)).fetchall()
        return [DocumentKey(partition_key=row[0], id=row[1]) for row in rows]


@asynccontextmanager
async def comparison(
    connections: Connections, *, generation: Generation
) -> AsyncIterator[SessionComparison]:
    """A session of its own with empty tables, which go with the block."""
    async with connections.session(seconds=COMPARISON_SECONDS) as session:
        for statement in CREATE:
            await session.execute(statement)
        try:
            yield SessionComparison(session, generation=generation)
        finally:
            if not session.closed:
                await session.execute("DROP TABLE IF EXISTS verify_seen, verify_unseen")


def _pk(write: RowWrite) -> str:
    return json.dumps(write.key, ensure_ascii=False)


def _encoded_keys(keys: Sequence[DocumentKey]) -> JsonText:
    return JsonText(msgspec.json.encode([{"pk": one.partition_key, "id": one.id} for one in keys]))
