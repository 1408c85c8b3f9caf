-- The same on servers that cannot return the old image: the update copies it into the row's p_ columns.
-- Plan: as that of batch.
WITH fence AS (
UPDATE ranges SET
  continuation = %(continuation)s::text, lsn = %(place_lsn)s::bigint,
  position_time = COALESCE(to_timestamp(%(newest_ts)s::bigint), position_time),
  anchored_from = CASE WHEN %(delivered)s::bigint > 0 THEN NULL ELSE anchored_from END,
  tick = tick + 1, read_tick = recent_ticks[4],
  recent_ticks = (tick + 1) || recent_ticks[1:3], last_commit_at = now()
WHERE id = %(range_id)s::bigint AND epoch = %(epoch)s::bigint
  AND lineage = %(lineage)s::int AND retired_at IS NULL AND placed
  AND tick >= %(after_tick)s::bigint
  AND (continuation IS NOT DISTINCT FROM %(after)s::text
       OR continuation IS NOT DISTINCT FROM %(continuation)s::text)
  AND NOT (quarantined AND %(only_clean)s::bool)
RETURNING tick, seen_group, quarantined),
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
  tombstone_tick = excluded.tombstone_tick,
  p_deleted = t.deleted, p_item = t.item, p_quantity = t.quantity, p_unit_price = t.unit_price,
  p_currency = t.currency, p_ts = t.ts,
  p_same = t.etag = excluded.etag AND t.etag <> '' AND t.deleted = excluded.deleted
WHERE (excluded.lineage, excluded.lsn) > (t.lineage, t.lsn)
  OR ((excluded.lineage, excluded.lsn) = (t.lineage, t.lsn)
      AND (t.rejected AND NOT excluded.deleted))
RETURNING
  t.cart_id, NOT t.p_deleted AS was, NOT t.deleted AS lives, t.p_same AS same,
  t.p_ts AS o_ts, t.ts AS n_ts, t.p_item AS o_item, t.p_quantity AS o_quantity,
  t.p_quantity * t.p_unit_price AS o_amount,
  CASE WHEN t.p_unit_price IS NULL THEN '' ELSE COALESCE(t.p_currency, '-') END AS o_bucket,
  t.item AS n_item, t.quantity AS n_quantity, t.quantity * t.unit_price AS n_amount,
  CASE WHEN t.unit_price IS NULL THEN '' ELSE COALESCE(t.currency, '-') END AS n_bucket),
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
  total_quantity = t.total_quantity + excluded.total_quantity)
SELECT (SELECT count(*) FROM fence) AS held, 0 AS healed,
  count(*) FILTER (WHERE lives AND same IS NOT TRUE) AS upserted,
  count(*) FILTER (WHERE was IS NULL) AS inserted,
  count(*) FILTER (WHERE was AND NOT lives) AS removed
FROM written
