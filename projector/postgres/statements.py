"""The batch statement: one array per column in; rows, exact totals and the position out.

Idempotent: a row is written only by a version newer than the one stored, and every total moves by
what `RETURNING` says really happened to the row, so a second run of a batch finds nothing to do.
Safe under concurrency: the old image is the one of the row version that was locked and replaced
(never one that was read beforehand), keys arrive sorted, and the totals that all ranges share come
last. Expected plan: the arrays side by side, one unique-index probe per row and total. What it comes to
for carts is pinned in `tests/sql`.

Order inside the statement: (1) the position row is updated under the epoch, which holds it until
COMMIT; without it the input is empty and nothing else happens. (2) Rows. (3) Totals, one after the other
(see `deltas`). Beside them, when a replay is open, the hashes of all keys of the batch.

Servers before 18 cannot return the old image: there the same UPDATE copies it into the row's `p_`
columns, and `RETURNING` reads those.

Runs the statements of batches: prepared once per session, their named parameters numbered once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from psycopg import AsyncRawCursor
from psycopg.rows import TupleRow

from projector.postgres.columns import ARRAY_OF
from projector.postgres.connections import Session
from projector.postgres.deltas import delta_statements, image
from projector.postgres.generation import Generation, keeps_last_change, previous_columns, sql_type
from projector.postgres.portions import Outcome
from projector.postgres.templates import each, filled
from projector.projection.definition import Definition

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
# the position that is stored, or have been committed already: a standby that took over without the last
# commits knows the epoch, and whatever it lost has to be read again. So it is with the portion of the
# batch that was committed before: it left the position, but its tick.
FENCE = """
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
RETURNING tick, seen_group, quarantined"""

# A portion of a batch leaves the position where it is. Its tick tells its tombstones from those of
# before; the ticks of batches in flight do not move.
PORTION_FENCE = """
UPDATE ranges SET tick = tick + 1
WHERE id = %(range_id)s::bigint AND epoch = %(epoch)s::bigint
  AND lineage = %(lineage)s::int AND retired_at IS NULL AND placed
  AND tick >= %(after_tick)s::bigint
  AND (continuation IS NOT DISTINCT FROM %(after)s::text
       OR continuation IS NOT DISTINCT FROM %(continuation)s::text)
RETURNING tick, seen_group, quarantined"""

# A batch that takes several statements moves position and ticks once, in the first.
LOCKED = """
SELECT tick, seen_group, quarantined FROM ranges WHERE id = %(range_id)s::bigint"""

# Arrays in the select list advance together; in FROM each would be stored first.
INPUT = """
SELECT unnest(%(key)s::text[]) AS {key}, unnest(%(id)s::text[]) AS id,
  unnest(%(epk)s::bigint[]) AS epk, unnest(%(lsn)s::bigint[]) AS lsn,
  unnest(%(ts)s::bigint[]) AS ts, unnest(%(etag)s::text[]) AS etag,
  unnest(%(deleted)s::bool[]) AS deleted, {arrays}
WHERE EXISTS (SELECT FROM fence)"""

SEEN = """
INSERT INTO replay_seen (seen_group, keys_1, keys_2)
SELECT (SELECT seen_group FROM fence),
  array_agg(hashtextextended(x.key || chr(1) || x.id, {seed_1})),
  array_agg(hashtextextended(x.key || chr(1) || x.id, {seed_2}))
FROM unnest(%(key)s::text[], %(id)s::text[]) AS x(key, id)
WHERE (SELECT seen_group FROM fence) IS NOT NULL HAVING count(*) > 0"""

# (2) Rows. A version that was rejected may be followed by itself, good: after a retry, or with a
# program that knows better. Otherwise only a newer one is written.
ROWS = """
INSERT INTO {rows} AS t ({key}, id, epk, lsn, ts, lineage, deleted, etag, {values}, tombstone_tick)
SELECT x.{key}, x.id, x.epk, x.lsn, x.ts, %(lineage)s::int, x.deleted, x.etag, {given},
  CASE WHEN x.deleted THEN (SELECT tick FROM fence) END
FROM input x
ON CONFLICT ({key}, id) DO UPDATE SET
  epk = excluded.epk, lsn = excluded.lsn, ts = excluded.ts, lineage = excluded.lineage,
  deleted = excluded.deleted, rejected = false, etag = excluded.etag, {set},
  tombstone_tick = excluded.tombstone_tick{previous}
WHERE (excluded.lineage, excluded.lsn) > (t.lineage, t.lsn)
  OR ((excluded.lineage, excluded.lsn) = (t.lineage, t.lsn)
      AND (t.rejected AND NOT excluded.deleted{same_version}))
RETURNING{returning}"""

# Whoever reads at the version of the row and finds nothing has seen it expire. Whoever finds
# something else than the row says has seen a damaged row; but the tombstone of an absence (it bears
# no etag) outlasts a read that came before it. A read that began after the tombstone was committed
# has seen an expired document come back, since its time to live was taken back.
READ_AT_SAME_VERSION = """
           OR excluded.deleted AND NOT t.deleted
           OR NOT excluded.deleted
              AND (t.etag <> '' OR NOT t.deleted OR t.tombstone_tick <= %(mark_tick)s::bigint)
              AND (t.deleted, {stored}, t.ts, t.etag)
                IS DISTINCT FROM (false, {excluded}, excluded.ts, excluded.etag)"""

COPY_PREVIOUS = """,
  {kept},
  p_same = t.etag = excluded.etag AND t.etag <> '' AND t.deleted = excluded.deleted"""

RETURN_OLD = """
  new.{key}, NOT old.deleted AS was, NOT new.deleted AS lives,
  old.etag = new.etag AND new.etag <> '' AND old.deleted = new.deleted AS same{images}"""

RETURN_PREVIOUS = """
  t.{key}, NOT t.p_deleted AS was, NOT t.deleted AS lives, t.p_same AS same{images}"""

HEAL = """
UPDATE quarantine q SET status = 'closed', closed_at = now(),
  lineage = %(lineage)s::int, lsn = x.lsn
FROM unnest(%(key)s::text[], %(id)s::text[], %(lsn)s::bigint[], %(deleted)s::bool[])
  AS x(key, id, lsn, deleted)
WHERE EXISTS (SELECT FROM fence) AND q.key_1 = hashtextextended(to_json(x.key)::text || chr(1) || x.id, {seed_1})
  AND q.key_2 = hashtextextended(to_json(x.key)::text || chr(1) || x.id, {seed_2})
  AND q.status <> 'closed'
  AND ((%(lineage)s::int, x.lsn) > (q.lineage, q.lsn)
       OR (NOT x.deleted AND (%(lineage)s::int, x.lsn) = (q.lineage, q.lsn)))
RETURNING 1"""

# Which of the writes are newer than what is stored. A correlated look-up, not a join: it stays an
# index probe whatever the planner believes. Unchanged rows are neither sent, nor locked, nor
# dirtied; what is stale now stays so, since versions only rise while the range is locked.
LOOK = """
SELECT (SELECT quarantined FROM fence) AS quarantined, ARRAY(SELECT x.place FROM (
  SELECT unnest(%(key)s::text[]) AS key, unnest(%(id)s::text[]) AS id,
    unnest(%(lsn)s::bigint[]) AS lsn, unnest(%(deleted)s::bool[]) AS deleted,
    generate_subscripts(%(key)s::text[], 1) AS place
  WHERE EXISTS (SELECT FROM fence)) x
WHERE NOT COALESCE((
  SELECT (t.lineage, t.lsn) > (%(lineage)s::int, x.lsn)
    OR ((t.lineage, t.lsn) = (%(lineage)s::int, x.lsn) AND NOT (t.rejected AND NOT x.deleted))
  FROM {rows} t WHERE t.{key} = x.key AND t.id = x.id), false))"""

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
        ("input", _input(shape.generation.definition)),
        *([] if shape.looked else [("seen", with_seeds(SEEN))]),
        ("written", _rows(shape)),
        *delta_statements(shape.generation),
        *([("healed", with_seeds(HEAL))] if shape.heal else []),
    ]
    healed = "(SELECT count(*) FROM healed)" if shape.heal else "0"
    return _joined(parts) + filled(OUTCOME, healed=healed)


@lru_cache(maxsize=8)
def look_statement(generation: Generation) -> str:
    """Moves the position, notes all keys, and tells which writes are newer, counted from 1."""
    look = filled(LOOK, rows=generation.rows, key=generation.definition.key.column)
    return _joined([("fence", FENCE), ("seen", with_seeds(SEEN))]) + look


def with_seeds(text: str) -> str:
    """The text with the two seeds of key hashes filled in."""
    return text.replace("{seed_1}", str(KEY_SEED_1)).replace("{seed_2}", str(KEY_SEED_2))


def stored_values(definition: Definition) -> Sequence[str]:
    """The columns of a row that hold what the document says, its key apart."""
    return [*definition.columns, "extra"]


def value_arrays(definition: Definition) -> Sequence[str]:
    """These columns out of the arrays of `columns_of`, for a select list, where they advance together."""
    values = [
        f"unnest(%({ARRAY_OF}{one.column})s::{sql_type(one)}[]) AS {one.column}"
        for one in definition.fields
    ]
    return [*values, "unnest(%(extra)s::jsonb[]) AS extra"]


def _joined(parts: Sequence[tuple[str, str]]) -> str:
    return "WITH " + ",\n".join(f"{name} AS ({part})" for name, part in parts)


def _input(definition: Definition) -> str:
    return filled(INPUT, key=definition.key.column, arrays=value_arrays(definition))


def _rows(shape: BatchShape) -> str:
    definition = shape.generation.definition
    key, values = definition.key.column, stored_values(definition)
    same_version = filled(
        READ_AT_SAME_VERSION, stored=each("t.{}", values), excluded=each("excluded.{}", values)
    )
    kept = list(previous_columns(definition)) + ["ts"] * keeps_last_change(definition)
    previous = filled(COPY_PREVIOUS, kept=["p_deleted = t.deleted", *each("p_{} = t.{}", kept)])
    returning = RETURN_OLD if shape.returning_old else RETURN_PREVIOUS
    return filled(
        ROWS,
        rows=shape.generation.rows,
        key=key,
        values=values,
        given=each("x.{}", values),
        set=each("{} = excluded.{}", values),
        previous="" if shape.returning_old else previous,
        same_version=same_version if shape.verdict else "",
        returning=filled(returning, key=key, images=_images(shape)),
    )


def _images(shape: BatchShape) -> str:
    """Both images of a row, as far as totals need them."""
    old, new = ("old.", "new.") if shape.returning_old else ("t.p_", "t.")
    definition = shape.generation.definition
    times = [f"{old}ts AS o_ts", f"{new}ts AS n_ts"] if keeps_last_change(definition) else []
    images = [*times, *image(definition, "o_", old), *image(definition, "n_", new)]
    return filled(",\n  {images}", images=images) if images else ""


async def one_row(session: Session, text: str, parameters: Mapping[str, Any]) -> TupleRow | None:
    """Execute a statement that answers with one row, or with none."""
    statement = numbered(text)
    cursor = AsyncRawCursor(session)
    await cursor.execute(statement.text, statement.arguments(parameters), prepare=True)
    return await cursor.fetchone()


def outcome_of(row: TupleRow | None, *, met_rows: bool = False) -> Outcome | None:
    """What the batch statement did; None when the fence, or a flag it asks about, said no."""
    if row is None or not row[0]:
        return None
    _, healed, upserted, inserted, removed = row
    return Outcome(
        healed=healed, upserted=upserted, inserted=inserted, removed=removed, met_rows=met_rows
    )
