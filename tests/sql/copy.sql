-- A bulk of new rows, as text; the trigger counts them once, from what was stored. A key that is there
-- already fails the whole, and the batch goes the usual way.
-- Plan: none; one insertion into the primary key per row.
COPY projector_g1.cart_items (epk, lsn, ts, lineage, deleted, cart_id, id, etag, item, quantity,
  unit_price, currency, extra, tombstone_tick)
FROM STDIN (NULL E'\x01')
