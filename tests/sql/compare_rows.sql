-- What differs between documents of the container and their rows, in words; notes what was seen.
-- Plan: the arrays side by side, one probe of the rows' primary key and of the quarantine's unique index each.
WITH input AS MATERIALIZED (
  SELECT unnest(%(key)s::text[]) AS cart_id, unnest(%(id)s::text[]) AS id,
    unnest(%(epk)s::bigint[]) AS epk, unnest(%(ts)s::bigint[]) AS ts,
    unnest(%(etag)s::text[]) AS etag, unnest(%(deleted)s::bool[]) AS deleted,
    unnest(%(n_item)s::text[]) AS item, unnest(%(n_quantity)s::numeric[]) AS quantity,
    unnest(%(n_unit_price)s::numeric[]) AS unit_price, unnest(%(n_currency)s::text[]) AS currency,
    unnest(%(extra)s::jsonb[]) AS extra),
seen AS (
  INSERT INTO verify_seen (kind, keys_1, keys_2)
  SELECT %(kind)s, array_agg(hashtextextended(x.cart_id || chr(1) || x.id, 0)),
    array_agg(hashtextextended(x.cart_id || chr(1) || x.id, 24301))
  FROM input x WHERE %(kind)s::int IS NOT NULL HAVING count(*) > 0)
SELECT to_json(x.cart_id)::text, x.id,
  CASE WHEN x.deleted THEN 'extra' WHEN t.cart_id IS NULL OR t.deleted THEN 'missing' ELSE 'stale' END,
  CASE WHEN x.deleted THEN 'the document is gone, marked or not good, and its row lives'
    WHEN t.cart_id IS NULL THEN 'there is no row' WHEN t.deleted THEN 'the row is a tombstone'
    ELSE concat_ws('; ',
      CASE WHEN t.item IS DISTINCT FROM x.item
        THEN format('item is %%s, not %%s', left(t.item, 60), left(x.item, 60)) END,
      CASE WHEN t.quantity IS DISTINCT FROM x.quantity
        THEN format('quantity is %%s, not %%s', t.quantity, x.quantity) END,
      CASE WHEN t.unit_price IS DISTINCT FROM x.unit_price
        THEN format('price is %%s, not %%s', COALESCE(t.unit_price::text, 'absent'), COALESCE(x.unit_price::text, 'absent')) END,
      CASE WHEN t.currency IS DISTINCT FROM x.currency
        THEN format('currency is %%s, not %%s', COALESCE(t.currency, 'absent'), COALESCE(x.currency, 'absent')) END,
      CASE WHEN t.extra IS DISTINCT FROM x.extra THEN 'other fields differ' END,
      CASE WHEN t.ts <> x.ts THEN format('_ts is %%s, not %%s', t.ts, x.ts) END,
      CASE WHEN t.etag <> x.etag THEN format('_etag is %%s, not %%s', t.etag, x.etag) END,
      CASE WHEN t.epk <> x.epk THEN 'its place among the keys is wrong' END) END,
  t.lineage, t.lsn
FROM input x
LEFT JOIN projector_g1.cart_items t ON t.cart_id = x.cart_id AND t.id = x.id
WHERE CASE WHEN x.deleted THEN NOT t.deleted
  WHEN t.cart_id IS NULL OR t.deleted THEN NOT EXISTS (
    SELECT FROM quarantine q
    WHERE q.key_1 = hashtextextended(to_json(x.cart_id)::text || chr(1) || x.id, 0)
      AND q.key_2 = hashtextextended(to_json(x.cart_id)::text || chr(1) || x.id, 24301)
      AND q.status <> 'closed' AND q.reason = 'refused_by_target' AND q.etag = x.etag)
  ELSE (t.item, t.quantity, t.unit_price, t.currency, t.extra, t.ts, t.etag, t.epk)
    IS DISTINCT FROM (x.item, x.quantity, x.unit_price, x.currency, x.extra, x.ts, x.etag, x.epk)
  END
