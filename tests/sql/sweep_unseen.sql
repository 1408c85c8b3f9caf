-- What a replay and the tables do not agree about: live rows that it did not bring, tombstones of
-- absence that it did.
-- Plan: two scans of the rows, one hash of the group's keys, an anti-join and a join; then a sort of what is left.
WITH seen AS (
  SELECT k.key_1, k.key_2 FROM replay_seen s,
    unnest(s.keys_1, s.keys_2) AS k(key_1, key_2) WHERE s.seen_group = %(seen_group)s),
unseen AS (
  SELECT to_json(t.cart_id)::text AS pk, t.id FROM projector_g1.cart_items t
  WHERE NOT t.deleted AND t.epk BETWEEN %(low)s AND %(high)s AND NOT EXISTS (
    SELECT FROM seen s WHERE s.key_1 = hashtextextended(t.cart_id || chr(1) || t.id, 0)
      AND s.key_2 = hashtextextended(t.cart_id || chr(1) || t.id, 24301))
  UNION
  SELECT to_json(t.cart_id)::text, t.id FROM projector_g1.cart_items t JOIN seen s
    ON s.key_1 = hashtextextended(t.cart_id || chr(1) || t.id, 0)
    AND s.key_2 = hashtextextended(t.cart_id || chr(1) || t.id, 24301)
  WHERE t.deleted AND t.etag = '' AND t.epk BETWEEN %(low)s AND %(high)s
  UNION
  SELECT q.partition_key, q.document_id FROM quarantine q
  WHERE q.epk BETWEEN %(low)s AND %(high)s
    AND (q.status = 'closed') = (q.seen_group IS NOT DISTINCT FROM %(seen_group)s)
    AND left(q.partition_key, 1) <> chr(92))
INSERT INTO replay_candidates (range_id, place, partition_key, document_id)
SELECT %(range_id)s, row_number() OVER (ORDER BY pk COLLATE "C", id), pk, id FROM unseen
