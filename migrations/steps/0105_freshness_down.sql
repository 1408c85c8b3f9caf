-- Drops what the step brought; a view that somebody built on it stops it, named.

DROP FUNCTION carts.wait_until_includes(text, interval);
DROP FUNCTION carts.includes(text);
DROP FUNCTION carts.is_fresh(interval);
DROP VIEW carts.freshness;

CREATE OR REPLACE VIEW carts.freshness AS
WITH live AS (
    SELECT r.min_epk, r.max_epk, r.position_time,
           CASE WHEN r.placed AND p.epoch = r.epoch
                THEN p.lag_seconds + GREATEST(0, extract(epoch FROM now() - p.reported_at))
                END::double precision AS lag_seconds,
           r.last_commit_at
    FROM projector.ranges AS r
    LEFT JOIN projector.range_reports AS p ON p.range_id = r.id
    WHERE r.retired_at IS NULL
), unread AS (
    SELECT reached AS min_epk, min_epk AS max_epk
    FROM (SELECT min_epk, COALESCE(max(max_epk) OVER (
                     ORDER BY min_epk, max_epk ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
                     '') AS reached
          FROM (SELECT min_epk, max_epk FROM live
                UNION ALL SELECT 'FF' COLLATE "C", 'FF' COLLATE "C") AS bounds) AS edges
    WHERE reached < min_epk
), parts AS (
    SELECT min_epk || '-' || max_epk AS feed_range, position_time, lag_seconds, last_commit_at
    FROM live
    UNION ALL
    SELECT min_epk || '-' || max_epk, NULL, NULL, NULL FROM unread
)
SELECT feed_range, position_time, lag_seconds, last_commit_at
FROM parts
UNION ALL
SELECT 'all',
       CASE WHEN bool_and(position_time IS NOT NULL) THEN min(position_time) END,
       CASE WHEN bool_and(lag_seconds IS NOT NULL) THEN max(lag_seconds) END,
       max(last_commit_at)
FROM parts;
COMMENT ON VIEW carts.freshness IS 'How current the copy is: one row per feed range, one for each stretch of keys that no host has ever read, and one, named ''all'', for the whole.';
COMMENT ON COLUMN carts.freshness.feed_range IS 'Bounds of the range as min-max of effective partition keys, or ''all''.';
COMMENT ON COLUMN carts.freshness.position_time IS 'Time at the source (_ts) of the newest change that is in the rows; for the whole the oldest of these.';
COMMENT ON COLUMN carts.freshness.lag_seconds IS 'How far the rows may be behind the source, in seconds; NULL when unknown, as for keys that nobody reads; for the whole the greatest, NULL while one is unknown.';
COMMENT ON COLUMN carts.freshness.last_commit_at IS 'When rows or position were last written.';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'carts_reader') THEN
        GRANT SELECT ON carts.freshness TO carts_reader;
    END IF;
END
$$;

ALTER TABLE projector.range_reports DROP COLUMN read_through;
