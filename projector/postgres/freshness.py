"""The view that tells how current the copy is; it is the same for every definition."""

from __future__ import annotations

from projector.postgres.view import View

FRESHNESS = View(
    "freshness",
    "How current the copy is: one row per feed range, one for each stretch of keys that no host"
    " has ever read, and one, named 'all', for the whole.",
    {
        "feed_range": "Bounds of the range as min-max of effective partition keys, or 'all'.",
        "position_time": "Time at the source (_ts) of the newest change that is in the rows;"
        " for the whole the oldest of these.",
        "lag_seconds": "How far the rows may be behind the source, in seconds; NULL when unknown,"
        " as for keys that nobody reads; for the whole the greatest, NULL while one is unknown.",
        "last_commit_at": "When rows or position were last written.",
    },
    """
WITH live AS (
    SELECT r.min_epk, r.max_epk, r.position_time,
           CASE WHEN r.placed AND p.epoch = r.epoch
                THEN p.lag_seconds + GREATEST(0, extract(epoch FROM now() - p.reported_at))
                END::double precision AS lag_seconds,
           r.last_commit_at
    FROM {control}.ranges AS r
    LEFT JOIN {control}.range_reports AS p ON p.range_id = r.id
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
FROM parts""",
    key=("feed_range",),
    optional=frozenset({"position_time", "lag_seconds", "last_commit_at"}),
)
