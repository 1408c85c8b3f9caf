-- Rows and tombstones of one key, with their values as text.
-- Plan: a range of the rows' primary key.
SELECT id, lineage, lsn, ts, etag, deleted, ARRAY[item::text, quantity::text, unit_price::text,
  currency::text]::text[] AS texts
FROM projector_g1.cart_items WHERE cart_id = %(key)s ORDER BY id LIMIT %(most)s
