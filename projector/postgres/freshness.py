"""How current the copy is, for those who query: a view, and functions that answer one question each.

They are the same for every definition; `{control}` is where the positions and reports of the generation are.
A function is told its names in full and has a search path of its own. What reads the control tables runs as
its owner, and takes nothing from who calls it but the text of a token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from projector.postgres.generation import Generation, quoted
from projector.postgres.templates import View


class Function(NamedTuple):
    """One function for readers: its arguments by type, for GRANT, and its whole text."""

    name: str
    arguments: str
    comment: str
    text: str


FRESHNESS = View(
    "freshness",
    "How current the copy is: one row per feed range, one for each stretch of keys that no host has ever"
    " read, and one, named 'all', for the whole.",
    {
        "feed_range": "Bounds of the range as min-max of effective partition keys, or 'all'.",
        "position_time": "Time at the source (_ts) of the newest change that is in the rows;"
        " for the whole the oldest of these.",
        "lag_seconds": "How far the rows may be behind the source, in seconds; NULL when unknown,"
        " as for keys that nobody reads; for the whole the greatest, NULL while one is unknown.",
        "last_commit_at": "When rows or position were last written.",
        "verified_through": "For the whole: when a comparison of every document with the container last ended.",
        "verified_generation": "For the whole: the generation that was compared.",
        "quarantined": "For the whole: documents that could not be projected and wait for a person.",
        "rebuild": "For the whole: the rebuild that runs; NULL when none does.",
        "summary": "For the whole: all of it in one sentence.",
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
), whole AS (
    SELECT CASE WHEN bool_and(position_time IS NOT NULL) THEN min(position_time) END AS position_time,
           CASE WHEN bool_and(lag_seconds IS NOT NULL) THEN max(lag_seconds) END AS lag_seconds,
           max(last_commit_at) AS last_commit_at,
           count(*) AS parts,
           count(*) FILTER (WHERE lag_seconds IS NULL) AS silent
    FROM parts
), beside AS (
    SELECT v.last_success_at AS verified_through,
           CASE WHEN v.last_success_at IS NOT NULL
                THEN COALESCE((v.result ->> 'generation')::bigint, 1) END AS verified_generation,
           COALESCE((v.result ->> 'drift_left')::bigint, 0) AS drift,
           (SELECT count(*) FROM {control}.quarantine WHERE status = 'open') AS quarantined,
           (SELECT 'generation ' || g.id || ' is ' || g.state FROM projector.generations AS g
            WHERE g.state IN ('filling', 'following')) AS rebuild
    FROM (VALUES (true)) AS one_row
    LEFT JOIN projector.housekeeping_runs AS v ON v.job = 'verify'
)
SELECT feed_range, position_time, lag_seconds, last_commit_at,
       NULL::timestamptz AS verified_through, NULL::bigint AS verified_generation,
       NULL::bigint AS quarantined, NULL::text AS rebuild, NULL::text AS summary
FROM parts
UNION ALL
SELECT 'all', w.position_time, w.lag_seconds, w.last_commit_at,
       b.verified_through, b.verified_generation, b.quarantined, b.rebuild,
       CASE WHEN w.lag_seconds IS NULL
            THEN 'not known to be complete: ' || w.silent || ' of ' || w.parts || ' ranges say nothing'
            ELSE 'complete up to ' || to_char(now() - make_interval(secs => w.lag_seconds),
                                              'YYYY-MM-DD HH24:MI:SS TZ') END
       || CASE b.quarantined WHEN 0 THEN '' WHEN 1 THEN '; 1 document in quarantine'
               ELSE '; ' || b.quarantined || ' documents in quarantine' END
       || CASE b.drift WHEN 0 THEN ''
               ELSE '; the last verification left ' || b.drift || ' differences' END
       || COALESCE('; ' || b.rebuild, '')
FROM whole AS w CROSS JOIN beside AS b""",
    key=("feed_range",),
    optional=frozenset(
        {
            "position_time",
            "lag_seconds",
            "last_commit_at",
            "verified_through",
            "verified_generation",
            "quarantined",
            "rebuild",
            "summary",
        }
    ),
)

IS_FRESH = Function(
    "is_fresh",
    "interval",
    "Whether the copy is complete up to so long ago; false while that is unknown, never NULL.",
    """
CREATE OR REPLACE FUNCTION {schema}.is_fresh(within interval) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
SELECT COALESCE((SELECT make_interval(secs => lag_seconds) <= within
                 FROM {schema}.freshness WHERE feed_range = 'all'), false)
$$""",
)

# A token names a physical partition and how far it was written. The partition is read up to there when
# every range that holds a part of its keys is, by the partition's own count: a report says so of the
# present epoch, within which no range changes its partition, and the committed position may be further by
# now. What a range does not say, or says of another partition, is unknown. So are tokens that count by
# region: there are several places to write to, and one count is not enough.
INCLUDES = Function(
    "includes",
    "text",
    "Whether the write that a session token stands for is in the rows; NULL when that cannot be known: its"
    " partition was split or merged, nobody reads it, or it is of another container.",
    r"""
CREATE OR REPLACE FUNCTION {schema}.includes(session_token text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
WITH tokens AS (
    SELECT strpos(one, ':') > 0 AS named, btrim(regexp_replace(one, ':[^:]*$', '')) AS partition_id,
           string_to_array(regexp_replace(one, '^.*:', ''), '#') AS vector
    FROM unnest(string_to_array(session_token, ',')) AS one
), asked AS (
    SELECT partition_id COLLATE "C" AS partition_id,
           CASE WHEN named AND btrim(lsn) ~ '^[0-9]{1,18}$' AND NOT regional THEN btrim(lsn)::bigint END AS lsn
    FROM (SELECT partition_id, named,
                 CASE WHEN cardinality(vector) = 1 THEN vector[1] ELSE vector[2] END AS lsn,
                 EXISTS (SELECT FROM unnest(vector[3:]) AS region
                         WHERE region !~ '=-1\s*$') AS regional
          FROM tokens) AS t
), told AS (
    SELECT r.min_epk, r.max_epk,
           p.read_through ->> 'partition_id' AS partition_id,
           (p.read_through #>> '{keys,min}') COLLATE "C" AS partition_min,
           (p.read_through #>> '{keys,max}') COLLATE "C" AS partition_max,
           GREATEST((p.read_through ->> 'lsn')::bigint, r.lsn) AS lsn,
           lead(r.min_epk) OVER (ORDER BY r.min_epk) IS NOT DISTINCT FROM r.max_epk AS joined
    FROM {control}.ranges AS r
    LEFT JOIN {control}.range_reports AS p ON p.range_id = r.id AND p.epoch = r.epoch AND r.placed
    WHERE r.retired_at IS NULL
), answers AS (
    SELECT (SELECT CASE
                WHEN bool_and(t.partition_id IS NOT DISTINCT FROM a.partition_id
                              AND (t.joined OR t.max_epk >= part.partition_max))
                     AND min(t.min_epk) <= part.partition_min
                THEN bool_and(t.lsn >= a.lsn) AND NOT EXISTS (
                    SELECT FROM {control}.quarantine AS q
                    WHERE q.status <> 'closed' AND (q.lsn = a.lsn OR q.lsn > a.lsn AND q.count > 1)
                      AND (q.epk IS NULL OR
                           q.epk >= ('x' || rpad(left(part.partition_min, 16), 16, '0'))::bit(64)::bigint)
                      AND (q.epk IS NULL OR part.partition_max = 'FF' OR
                           q.epk <= ('x' || rpad(left(part.partition_max, 16), 16, '0'))::bit(64)::bigint))
                END
            FROM told AS t
            WHERE t.min_epk < part.partition_max AND t.max_epk > part.partition_min) AS included
    FROM asked AS a
    LEFT JOIN LATERAL (SELECT t.partition_min, t.partition_max FROM told AS t
                       WHERE t.partition_id = a.partition_id AND a.lsn IS NOT NULL
                       LIMIT 1) AS part ON true
)
SELECT CASE WHEN bool_or(NOT included) THEN false
            WHEN bool_and(included IS NOT NULL) THEN true END
FROM answers
$$""",
)

WAIT = Function(
    "wait_until_includes",
    "text, interval",
    "Waits until `includes` is true, at most so long, and answers what it is then. The rows are seen by the"
    " next statement.",
    """
CREATE OR REPLACE FUNCTION {schema}.wait_until_includes(
    session_token text, at_most interval DEFAULT '10 seconds') RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  ends CONSTANT timestamptz := clock_timestamp() + at_most;
  answer boolean;
BEGIN
  IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
    RAISE EXCEPTION 'a snapshot never changes: wait outside of a transaction, or in a READ COMMITTED one'
      USING ERRCODE = 'active_sql_transaction';
  END IF;
  LOOP
    answer := {schema}.includes(session_token);
    IF answer OR clock_timestamp() >= ends THEN
      RETURN answer;
    END IF;
    PERFORM pg_sleep(0.05);
  END LOOP;
END $$""",
)


def functions_of(generation: Generation) -> Sequence[Function]:
    """What readers may call, over that generation."""
    return [
        function._replace(
            text=function.text.replace("{control}", generation.control).replace(
                "{schema}", generation.definition.schema
            )
        )
        for function in (IS_FRESH, INCLUDES, WAIT)
    ]


def function_statements(generation: Generation) -> Sequence[str]:
    """SQL that makes them, and says what they are; those that are there keep their grants."""
    schema = generation.definition.schema
    statements = []
    for function in functions_of(generation):
        name = f"{schema}.{function.name}({function.arguments})"
        statements.append(function.text.strip())
        statements.append(f"COMMENT ON FUNCTION {name} IS {quoted(function.comment)}")
    return statements
