"""The batch statement: one array per column in; rows, exact totals and the position out.

Idempotent: a row is written only by a version newer than the one stored, and every total moves by
what `RETURNING` says really happened to the row, so a second run of a batch finds nothing to do.
Safe under concurrency: the old image is the one of the row version that was locked and replaced
(never one that was read beforehand), keys arrive sorted, and the totals of items, which all ranges
share, come last. Expected plan: the arrays side by side,
one unique-index probe per row and total.

Order inside the statement: (1) the position row is updated under the epoch, which holds it until
COMMIT; without it the input is empty and nothing else happens. (2) Rows. (3) Cart totals.
(4) Item totals. Beside them, when a replay is open, the hashes of all keys of the batch.

Servers before 18 cannot return the old image: there the same UPDATE copies it into the row's `p_`
columns, and `RETURNING` reads those.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from projector.postgres.generation import Generation

RETURNING_OLD_SERVER = 180000
KEY_SEED_1 = 0
KEY_SEED_2 = 0x5EED
NAMED = re.compile(r"%\((\w+)\)s")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchShape:
    """What a batch statement has to do beside writing rows and totals.

    Attributes:
        generation: the one to write to.
        returning_old: the server tells old images itself (18 and later).
        heal: close quarantine entries that a newer version supersedes.
        locked: the transaction has locked and moved the position row already.
        looked: `LOOK` has noted the keys already.
        verdict: the writes come from point reads: absence at the version of a live row counts.
    """

    generation: Generation
    returning_old: bool
    heal: bool = False
    locked: bool = False
    looked: bool = False
    verdict: bool = False


# (1) Position and ticks move together; the newest of the last ticks that no page still in flight
# can precede becomes `read_tick` (see `housekeeping`). `only_clean` sends a range with quarantine
# entries to the longer way, which locks the row before it takes its snapshot. The batch must follow
# the place that is stored, or have been committed already: a standby that took over without the last
# commits knows the epoch, and whatever it lost has to be read again. So it is with the portion of the
# batch that was committed before: it left the place, but its tick.
FENCE = """
UPDATE projector.ranges SET
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
RETURNING tick, seen_group, quarantined"""

# A portion of a batch leaves the position where it is. Its tick tells its tombstones from those of
# before; the ticks of batches in flight do not move.
PORTION_FENCE = """
UPDATE projector.ranges SET tick = tick + 1
WHERE id = %(range_id)s::bigint AND epoch = %(epoch)s::bigint
  AND lineage = %(lineage)s::int AND retired_at IS NULL AND placed
  AND tick >= %(after_tick)s::bigint
  AND (continuation IS NOT DISTINCT FROM %(after)s::text
       OR continuation IS NOT DISTINCT FROM %(continuation)s::text)
RETURNING tick, seen_group, quarantined"""

# A batch that takes several statements moves position and ticks once, in the first.
LOCKED = """
SELECT tick, seen_group, quarantined FROM projector.ranges WHERE id = %(range_id)s::bigint"""

# Arrays in the select list advance together; in FROM each would be stored first.
INPUT = """
SELECT unnest(%(key)s::text[]) AS cart_id, unnest(%(id)s::text[]) AS id,
  unnest(%(epk)s::bigint[]) AS epk, unnest(%(lsn)s::bigint[]) AS lsn,
  unnest(%(ts)s::bigint[]) AS ts, unnest(%(etag)s::text[]) AS etag,
  unnest(%(deleted)s::bool[]) AS deleted, unnest(%(item)s::text[]) AS item,
  unnest(%(quantity)s::numeric[]) AS quantity, unnest(%(unit_price)s::numeric[]) AS unit_price,
  unnest(%(currency)s::text[]) AS currency, unnest(%(extra)s::jsonb[]) AS extra
WHERE EXISTS (SELECT FROM fence)"""

SEEN = """
INSERT INTO projector.replay_seen (seen_group, keys_1, keys_2)
SELECT (SELECT seen_group FROM fence),
  array_agg(hashtextextended(x.cart_id || chr(1) || x.id, {seed_1})),
  array_agg(hashtextextended(x.cart_id || chr(1) || x.id, {seed_2}))
FROM unnest(%(key)s::text[], %(id)s::text[]) AS x(cart_id, id)
WHERE (SELECT seen_group FROM fence) IS NOT NULL HAVING count(*) > 0"""

# (2) Rows.
ROWS = """
INSERT INTO {rows}.cart_items AS t (cart_id, id, epk, lsn, ts, lineage, deleted, etag,
  item, quantity, unit_price, currency, extra, tombstone_tick)
SELECT x.cart_id, x.id, x.epk, x.lsn, x.ts, %(lineage)s::int, x.deleted, x.etag,
  x.item, x.quantity, x.unit_price, x.currency, x.extra,
  CASE WHEN x.deleted THEN (SELECT tick FROM fence) END
FROM input x{conflict}
RETURNING {returning}"""

# A version that was rejected may be followed by itself, good: after a retry, or with a program that
# knows better. Otherwise only a newer one is written.
CONFLICT = """
ON CONFLICT (cart_id, id) DO UPDATE SET
  epk = excluded.epk, lsn = excluded.lsn, ts = excluded.ts, lineage = excluded.lineage,
  deleted = excluded.deleted, rejected = false, etag = excluded.etag, item = excluded.item,
  quantity = excluded.quantity, unit_price = excluded.unit_price, currency = excluded.currency,
  extra = excluded.extra, tombstone_tick = excluded.tombstone_tick{previous}
WHERE (excluded.lineage, excluded.lsn) > (t.lineage, t.lsn)
  OR ((excluded.lineage, excluded.lsn) = (t.lineage, t.lsn)
      AND (t.rejected AND NOT excluded.deleted{same_version}))"""

# Whoever reads at the version of the row and finds nothing has seen it expire. Whoever finds
# something else than the row says has seen a damaged row; but the tombstone of an absence (it bears
# no etag) outlasts a read that came before it. A read that began after the tombstone was committed
# has seen an expired document come back, since its time to live was taken back.
READ_AT_SAME_VERSION = """
           OR excluded.deleted AND NOT t.deleted
           OR NOT excluded.deleted
              AND (t.etag <> '' OR NOT t.deleted OR t.tombstone_tick <= %(mark_tick)s::bigint)
              AND (t.deleted, t.item, t.quantity, t.unit_price, t.currency, t.extra, t.ts, t.etag)
                IS DISTINCT FROM (false, excluded.item, excluded.quantity, excluded.unit_price,
                  excluded.currency, excluded.extra, excluded.ts, excluded.etag)"""

COPY_PREVIOUS = """,
  p_deleted = t.deleted, p_item = t.item, p_quantity = t.quantity, p_unit_price = t.unit_price,
  p_currency = t.currency, p_ts = t.ts,
  p_same = t.etag = excluded.etag AND t.etag <> '' AND t.deleted = excluded.deleted"""

RETURN_OLD = """
  new.cart_id, NOT old.deleted AS was, NOT new.deleted AS lives, old.ts AS o_ts, new.ts AS n_ts,
  old.etag = new.etag AND new.etag <> '' AND old.deleted = new.deleted AS same,
  old.item AS o_item, old.quantity AS o_quantity, old.quantity * old.unit_price AS o_amount,
  CASE WHEN old.unit_price IS NULL THEN '' ELSE COALESCE(old.currency, '-') END AS o_bucket,
  new.item AS n_item, new.quantity AS n_quantity, new.quantity * new.unit_price AS n_amount,
  CASE WHEN new.unit_price IS NULL THEN '' ELSE COALESCE(new.currency, '-') END AS n_bucket"""

RETURN_PREVIOUS = """
  t.cart_id, NOT t.p_deleted AS was, NOT t.deleted AS lives, t.p_ts AS o_ts, t.ts AS n_ts,
  t.p_same AS same,
  t.p_item AS o_item, t.p_quantity AS o_quantity, t.p_quantity * t.p_unit_price AS o_amount,
  CASE WHEN t.p_unit_price IS NULL THEN '' ELSE COALESCE(t.p_currency, '-') END AS o_bucket,
  t.item AS n_item, t.quantity AS n_quantity, t.quantity * t.unit_price AS n_amount,
  CASE WHEN t.unit_price IS NULL THEN '' ELSE COALESCE(t.currency, '-') END AS n_bucket"""

# (3) A line that stays in its bucket moves it by a difference; any other leaves its old bucket and
# enters its new one. Buckets that end up as they were are not touched. The last change is the newest of
# the bucket's lines: what came is compared with what is there, and the lines are read again only when
# the newest one went (`left_at` says it to the row that is updated; nobody reads it afterwards).
CARTS = """
INSERT INTO {rows}.cart_totals AS c (cart_id, bucket, line_count, total_quantity, total_amount,
  last_changed_at, left_at)
SELECT cart_id, bucket, sum(lines), sum(quantity), sum(amount),
  to_timestamp(max(came)), to_timestamp(max(gone)) FROM (
  SELECT cart_id, n_bucket AS bucket, CASE WHEN stays THEN 0 ELSE 1 END AS lines,
    CASE WHEN stays THEN n_quantity - o_quantity ELSE n_quantity END AS quantity,
    COALESCE(n_amount, 0) - CASE WHEN stays THEN COALESCE(o_amount, 0) ELSE 0 END AS amount,
    n_ts AS came, CASE WHEN stays THEN o_ts END AS gone
  FROM (SELECT *, was AND n_bucket = o_bucket AS stays FROM written WHERE lives) w
  UNION ALL
  SELECT cart_id, o_bucket, -1, -o_quantity, -COALESCE(o_amount, 0), NULL, o_ts FROM written
  WHERE was AND NOT (lives AND n_bucket = o_bucket)
) d
GROUP BY cart_id, bucket
HAVING sum(lines) <> 0 OR sum(quantity) <> 0 OR sum(amount) <> 0
  OR max(came) IS DISTINCT FROM max(gone)
ORDER BY cart_id, bucket
ON CONFLICT (cart_id, bucket) DO UPDATE SET
  line_count = c.line_count + excluded.line_count,
  total_quantity = c.total_quantity + excluded.total_quantity,
  total_amount = c.total_amount + excluded.total_amount,
  last_changed_at = CASE
    WHEN excluded.last_changed_at >= c.last_changed_at THEN excluded.last_changed_at
    WHEN c.last_changed_at > COALESCE(excluded.left_at, '-infinity') THEN c.last_changed_at
    WHEN c.line_count + excluded.line_count > 0 THEN {rows}.newest_line(c.cart_id, c.bucket) END
RETURNING 1"""

# (4) Waits for (3) by asking for its count.
ITEMS = """
INSERT INTO {rows}.item_totals AS i (item, line_count, total_quantity)
SELECT item, sum(lines), sum(quantity) FROM (
  SELECT n_item AS item, CASE WHEN stays THEN 0 ELSE 1 END AS lines,
    CASE WHEN stays THEN n_quantity - o_quantity ELSE n_quantity END AS quantity
  FROM (SELECT *, was AND n_item = o_item AS stays FROM written WHERE lives) w
  UNION ALL
  SELECT o_item, -1, -o_quantity FROM written WHERE was AND NOT (lives AND n_item = o_item)
) d
WHERE (SELECT count(*) FROM carts) >= 0
GROUP BY item
HAVING sum(lines) <> 0 OR sum(quantity) <> 0
ORDER BY item
ON CONFLICT (item) DO UPDATE SET
  line_count = i.line_count + excluded.line_count,
  total_quantity = i.total_quantity + excluded.total_quantity"""

HEAL = """
UPDATE projector.quarantine q SET status = 'closed', closed_at = now(),
  lineage = %(lineage)s::int, lsn = x.lsn
FROM unnest(%(key)s::text[], %(id)s::text[], %(lsn)s::bigint[], %(deleted)s::bool[])
  AS x(cart_id, id, lsn, deleted)
WHERE EXISTS (SELECT FROM fence) AND q.key_1 = hashtextextended(to_json(x.cart_id)::text || chr(1) || x.id, {seed_1})
  AND q.key_2 = hashtextextended(to_json(x.cart_id)::text || chr(1) || x.id, {seed_2})
  AND q.status <> 'closed'
  AND ((%(lineage)s::int, x.lsn) > (q.lineage, q.lsn)
       OR (NOT x.deleted AND (%(lineage)s::int, x.lsn) = (q.lineage, q.lsn)))
RETURNING 1"""

# Which of the writes are newer than what is stored. A correlated look-up, not a join: it stays an
# index probe whatever the planner believes. Unchanged rows are neither sent, nor locked, nor
# dirtied; what is stale now stays so, since versions only rise while the range is locked.
LOOK = """
SELECT (SELECT quarantined FROM fence) AS quarantined, ARRAY(SELECT x.place FROM (
  SELECT unnest(%(key)s::text[]) AS cart_id, unnest(%(id)s::text[]) AS id,
    unnest(%(lsn)s::bigint[]) AS lsn, unnest(%(deleted)s::bool[]) AS deleted,
    generate_subscripts(%(key)s::text[], 1) AS place
  WHERE EXISTS (SELECT FROM fence)) x
WHERE NOT COALESCE((
  SELECT (t.lineage, t.lsn) > (%(lineage)s::int, x.lsn)
    OR ((t.lineage, t.lsn) = (%(lineage)s::int, x.lsn) AND NOT (t.rejected AND NOT x.deleted))
  FROM {rows}.cart_items t WHERE t.cart_id = x.cart_id AND t.id = x.id), false))"""

OUTCOME = """
SELECT (SELECT count(*) FROM fence) AS held, {healed} AS healed,
  count(*) FILTER (WHERE lives AND same IS NOT TRUE) AS upserted,
  count(*) FILTER (WHERE was IS NULL) AS inserted,
  count(*) FILTER (WHERE was AND NOT lives) AS removed
FROM written"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """Text with numbered parameters, and their names in that order."""

    text: str
    names: tuple[str, ...]

    def arguments(self, parameters: Mapping[str, Any]) -> list[Any]:
        """The values in the order of the numbers."""
        return [parameters[name] for name in self.names]


@lru_cache(maxsize=64)
def numbered(text: str) -> Statement:
    """Names replaced by numbers once, and not at each execution."""
    names = tuple(dict.fromkeys(NAMED.findall(text)))
    places = {name: f"${number}" for number, name in enumerate(names, 1)}
    return Statement(text=NAMED.sub(lambda found: places[found[1]], text), names=names)


@lru_cache(maxsize=32)
def batch_statement(shape: BatchShape) -> str:
    """The text for a batch of that shape; the parameters are named in it."""
    parts = [
        ("fence", LOCKED if shape.locked else FENCE),
        ("input", INPUT),
        *([] if shape.looked else [("seen", SEEN)]),
        ("written", _rows(shape)),
        ("carts", CARTS),
        ("items", ITEMS),
    ]
    if shape.heal:
        parts.append(("healed", HEAL))
    healed = "(SELECT count(*) FROM healed)" if shape.heal else "0"
    text = "WITH " + ", ".join(f"{name} AS ({part})" for name, part in parts)
    text += OUTCOME.replace("{healed}", healed)
    return with_seeds(text).replace("{rows}", shape.generation.schema)


@lru_cache(maxsize=8)
def look_statement(generation: Generation) -> str:
    """Moves the position, notes all keys, and tells which writes are newer, counted from 1."""
    text = "WITH " + ", ".join(
        f"{name} AS ({part})" for name, part in (("fence", FENCE), ("seen", SEEN))
    )
    return with_seeds(text + LOOK).replace("{rows}", generation.schema)


def with_seeds(text: str) -> str:
    """The text with the two seeds of key hashes filled in."""
    return text.replace("{seed_1}", str(KEY_SEED_1)).replace("{seed_2}", str(KEY_SEED_2))


def _rows(shape: BatchShape) -> str:
    text = ROWS.replace("{conflict}", CONFLICT)
    text = text.replace("{same_version}", READ_AT_SAME_VERSION if shape.verdict else "")
    text = text.replace("{previous}", "" if shape.returning_old else COPY_PREVIOUS)
    return text.replace("{returning}", RETURN_OLD if shape.returning_old else RETURN_PREVIOUS)
