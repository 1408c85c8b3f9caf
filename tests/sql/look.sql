-- Moves the position, notes all keys while a replay is open, and tells which writes are newer than what is
-- stored, so that unchanged rows are neither sent nor locked.
-- Plan: one probe of the rows' primary key per write.
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
seen AS (
INSERT INTO replay_seen (seen_group, keys_1, keys_2)
SELECT (SELECT seen_group FROM fence),
  array_agg(hashtextextended(x.key || chr(1) || x.id, 0)),
  array_agg(hashtextextended(x.key || chr(1) || x.id, 24301))
FROM unnest(%(key)s::text[], %(id)s::text[]) AS x(key, id)
WHERE (SELECT seen_group FROM fence) IS NOT NULL HAVING count(*) > 0)
SELECT (SELECT quarantined FROM fence) AS quarantined, ARRAY(SELECT x.place FROM (
  SELECT unnest(%(key)s::text[]) AS key, unnest(%(id)s::text[]) AS id,
    unnest(%(lsn)s::bigint[]) AS lsn, unnest(%(deleted)s::bool[]) AS deleted,
    generate_subscripts(%(key)s::text[], 1) AS place
  WHERE EXISTS (SELECT FROM fence)) x
WHERE NOT COALESCE((
  SELECT (t.lineage, t.lsn) > (%(lineage)s::int, x.lsn)
    OR ((t.lineage, t.lsn) = (%(lineage)s::int, x.lsn) AND NOT (t.rejected AND NOT x.deleted))
  FROM projector_g1.cart_items t WHERE t.cart_id = x.key AND t.id = x.id), false))
