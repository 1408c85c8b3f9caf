-- Rows and open entries of a range that no page of the container has named.
-- Plan: one scan of the range's rows and an anti-join with the hashes of what was seen.
WITH seen AS (
  SELECT s.kind, k.key_1, k.key_2 FROM verify_seen s,
    unnest(s.keys_1, s.keys_2) AS k(key_1, key_2) WHERE s.kind <> 2),
unseen AS (
  SELECT to_json(t.cart_id)::text AS pk, t.id FROM projector_g1.cart_items t
  WHERE NOT t.deleted AND t.epk BETWEEN %(low)s AND %(high)s AND NOT EXISTS (
    SELECT FROM seen s WHERE s.kind = 0
      AND s.key_1 = hashtextextended(t.cart_id || chr(1) || t.id, 0)
      AND s.key_2 = hashtextextended(t.cart_id || chr(1) || t.id, 24301))
  UNION
  SELECT q.partition_key, q.document_id FROM quarantine q
  WHERE q.status <> 'closed' AND q.epk BETWEEN %(low)s AND %(high)s
    AND left(q.partition_key, 1) <> chr(92) AND NOT EXISTS (
      SELECT FROM seen s WHERE s.kind = 1 AND s.key_1 = q.key_1 AND s.key_2 = q.key_2))
INSERT INTO verify_unseen (place, partition_key, document_id)
SELECT row_number() OVER (ORDER BY pk COLLATE "C", id COLLATE "C"), pk, id FROM unseen
