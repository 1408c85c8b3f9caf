-- A batch of a range with quarantine entries, or with rejections: the position was locked and moved by
-- the statement before, and entries close that a newer version, good or gone, supersedes.
-- Plan: as `batch`; then the arrays joined with the entries by one unique-index probe per document.
WITH fence AS (
SELECT tick, seen_group, quarantined FROM ranges WHERE id = %(range_id)s::bigint),
input AS (
SELECT unnest(%(key)s::text[]) AS cart_id, unnest(%(id)s::text[]) AS id,
  unnest(%(epk)s::bigint[]) AS epk, unnest(%(lsn)s::bigint[]) AS lsn,
  unnest(%(ts)s::bigint[]) AS ts, unnest(%(etag)s::text[]) AS etag,
  unnest(%(deleted)s::bool[]) AS deleted, unnest(%(n_item)s::text[]) AS item,
  unnest(%(n_quantity)s::numeric[]) AS quantity, unnest(%(n_unit_price)s::numeric[]) AS unit_price,
  unnest(%(n_currency)s::text[]) AS currency, unnest(%(extra)s::jsonb[]) AS extra
WHERE EXISTS (SELECT FROM fence)),
seen AS (
INSERT INTO replay_seen (seen_group, keys_1, keys_2)
SELECT (SELECT seen_group FROM fence),
  array_agg(hashtextextended(x.key || chr(1) || x.id, 0)),
  array_agg(hashtextextended(x.key || chr(1) || x.id, 24301))
FROM unnest(%(key)s::text[], %(id)s::text[]) AS x(key, id)
WHERE (SELECT seen_group FROM fence) IS NOT NULL HAVING count(*) > 0),
written AS (
INSERT INTO projector_g1.cart_items AS t (cart_id, id, epk, lsn, ts, lineage, deleted, etag, item,
  quantity, unit_price, currency, extra, tombstone_tick)
SELECT x.cart_id, x.id, x.epk, x.lsn, x.ts, %(lineage)s::int, x.deleted, x.etag, x.item, x.quantity,
  x.unit_price, x.currency, x.extra,
  CASE WHEN x.deleted THEN (SELECT tick FROM fence) END
FROM input x
ON CONFLICT (cart_id, id) DO UPDATE SET
  epk = excluded.epk, lsn = excluded.lsn, ts = excluded.ts, lineage = excluded.lineage,
  deleted = excluded.deleted, rejected = false, etag = excluded.etag, item = excluded.item,
  quantity = excluded.quantity, unit_price = excluded.unit_price, currency = excluded.currency,
  extra = excluded.extra,
  tombstone_tick = excluded.tombstone_tick
WHERE (excluded.lineage, excluded.lsn) > (t.lineage, t.lsn)
  OR ((excluded.lineage, excluded.lsn) = (t.lineage, t.lsn)
      AND (t.rejected AND NOT excluded.deleted))
RETURNING
  new.cart_id, NOT old.deleted AS was, NOT new.deleted AS lives,
  old.etag = new.etag AND new.etag <> '' AND old.deleted = new.deleted AS same,
  old.ts AS o_ts, new.ts AS n_ts, old.item AS o_item, old.quantity AS o_quantity,
  old.quantity * old.unit_price AS o_amount,
  CASE WHEN old.unit_price IS NULL THEN '' ELSE COALESCE(old.currency, '-') END AS o_bucket,
  new.item AS n_item, new.quantity AS n_quantity, new.quantity * new.unit_price AS n_amount,
  CASE WHEN new.unit_price IS NULL THEN '' ELSE COALESCE(new.currency, '-') END AS n_bucket),
moved_cart_totals AS (
INSERT INTO projector_g1.cart_totals AS t (cart_id, bucket, line_count, total_quantity,
  total_amount, last_changed_at, left_at)
SELECT cart_id, bucket, sum(line_count), sum(total_quantity), sum(total_amount),
  to_timestamp(max(last_changed_at)), to_timestamp(max(left_at)) FROM (
  SELECT cart_id, n_bucket AS bucket, CASE WHEN stays THEN 0 ELSE 1 END AS line_count,
    CASE WHEN stays THEN n_quantity - o_quantity ELSE n_quantity END AS total_quantity,
    COALESCE(n_amount, 0) - CASE WHEN stays THEN COALESCE(o_amount, 0) ELSE 0 END AS total_amount,
    n_ts AS last_changed_at, CASE WHEN stays THEN o_ts END AS left_at
  FROM (SELECT *, was AND n_bucket = o_bucket AS stays FROM written WHERE lives) w
  UNION ALL
  SELECT cart_id, o_bucket, -1, -o_quantity, -COALESCE(o_amount, 0), NULL, o_ts FROM written
  WHERE was AND NOT (lives AND n_bucket = o_bucket)
) d
GROUP BY cart_id, bucket
HAVING sum(line_count) <> 0
  OR sum(total_quantity) <> 0
  OR sum(total_amount) <> 0
  OR max(last_changed_at) IS DISTINCT FROM max(left_at)
ORDER BY cart_id, bucket
ON CONFLICT (cart_id, bucket) DO UPDATE SET
  line_count = t.line_count + excluded.line_count,
  total_quantity = t.total_quantity + excluded.total_quantity,
  total_amount = t.total_amount + excluded.total_amount,
  last_changed_at = CASE
    WHEN excluded.last_changed_at >= t.last_changed_at THEN excluded.last_changed_at
    WHEN t.last_changed_at > COALESCE(excluded.left_at, '-infinity') THEN t.last_changed_at
    WHEN t.line_count + excluded.line_count > 0 THEN projector_g1.newest_in_cart_totals(t.cart_id, t.bucket) END
RETURNING 1),
moved_item_totals AS (
INSERT INTO projector_g1.item_totals AS t (item, line_count, total_quantity)
SELECT item, sum(line_count), sum(total_quantity) FROM (
  SELECT n_item AS item, CASE WHEN stays THEN 0 ELSE 1 END AS line_count,
    CASE WHEN stays THEN n_quantity - o_quantity ELSE n_quantity END AS total_quantity
  FROM (SELECT *, was AND n_item = o_item AS stays FROM written WHERE lives) w
  UNION ALL
  SELECT o_item, -1, -o_quantity FROM written
  WHERE was AND NOT (lives AND n_item = o_item)
) d
WHERE (SELECT count(*) FROM moved_cart_totals) >= 0
GROUP BY item
HAVING sum(line_count) <> 0
  OR sum(total_quantity) <> 0
ORDER BY item
ON CONFLICT (item) DO UPDATE SET
  line_count = t.line_count + excluded.line_count,
  total_quantity = t.total_quantity + excluded.total_quantity),
healed AS (
UPDATE quarantine q SET status = 'closed', closed_at = now(),
  lineage = %(lineage)s::int, lsn = x.lsn
FROM unnest(%(key)s::text[], %(id)s::text[], %(lsn)s::bigint[], %(deleted)s::bool[])
  AS x(key, id, lsn, deleted)
WHERE EXISTS (SELECT FROM fence) AND q.key_1 = hashtextextended(to_json(x.key)::text || chr(1) || x.id, 0)
  AND q.key_2 = hashtextextended(to_json(x.key)::text || chr(1) || x.id, 24301)
  AND q.status <> 'closed'
  AND ((%(lineage)s::int, x.lsn) > (q.lineage, q.lsn)
       OR (NOT x.deleted AND (%(lineage)s::int, x.lsn) = (q.lineage, q.lsn)))
RETURNING 1)
SELECT (SELECT count(*) FROM fence) AS held, (SELECT count(*) FROM healed) AS healed,
  count(*) FILTER (WHERE lives AND same IS NOT TRUE) AS upserted,
  count(*) FILTER (WHERE was IS NULL) AS inserted,
  count(*) FILTER (WHERE was AND NOT lives) AS removed
FROM written
