-- Keeps rejected documents under their versions, each with the last good row.
-- Plan: one probe of the rows' primary key and of the entries' unique index per document.
WITH entries AS (
SELECT r.*, CASE WHEN r.key IS NULL THEN r.partition_key ELSE to_json(r.key)::text END
  AS pk FROM json_to_recordset(%(rejections)s::json) AS r(
  partition_key text, id text, key text, epk bigint, lsn bigint, ts bigint, etag text,
  reason text, detail text, sqlstate text, raw text))
INSERT INTO quarantine AS q (key_1, key_2, partition_key, document_id, key, epk,
  lineage, lsn, ts, etag, status, reason, detail, sqlstate, raw, last_good,
  first_seen_at, last_seen_at, seen_group)
SELECT hashtextextended(e.pk || chr(1) || e.id, 0),
  hashtextextended(e.pk || chr(1) || e.id, 24301),
  e.pk, e.id, e.key, COALESCE(e.epk, %(low)s), %(lineage)s, e.lsn, e.ts, e.etag, 'open',
  e.reason, e.detail, e.sqlstate, decode(e.raw, 'base64'),
  CASE WHEN NOT t.deleted THEN (SELECT to_jsonb(good) FROM (SELECT t.cart_id, t.id, t.item,
    t.quantity, t.unit_price, t.currency, t.ts, t.etag, t.extra) AS good) END,
  now(), now(), r.seen_group
FROM entries e
JOIN ranges r ON r.id = %(range_id)s
LEFT JOIN projector_g1.cart_items t ON t.cart_id = e.key AND t.id = e.id
WHERE t.cart_id IS NULL OR (%(lineage)s, e.lsn) > (t.lineage, t.lsn)
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
RETURNING q.id, q.reason, q.status = 'open' AND q.first_seen_at = now() AS opened
