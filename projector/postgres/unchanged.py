"""Batches that are mostly stored already: look at keys and versions first, write only the rest.

A replay delivers what is there. Sending keys and versions alone, and locking no row that stays as it
is, costs a fraction of an upsert. What is looked at cannot be wrong: the position row is held by then,
so nobody else writes these keys, and stored versions only grow.

One transaction: (1) the position row is updated under the epoch; in the same statement the hashes of
all keys are kept while a replay is open, and the versions compared; (2) the batch statement writes
what is new or newer; COMMIT.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from projector.postgres.columns import key_columns
from projector.postgres.connections import Session
from projector.postgres.prepared import one_row
from projector.postgres.statements import FENCE, SEEN, with_seeds
from projector.projection.writes import RowWrite

# A correlated look-up, not a join: it stays an index probe whatever the planner believes.
COMPARE = with_seeds(
    """
WITH fence AS ({fence}),
seen AS ({seen})
SELECT (SELECT count(*) FROM fence) AS held, (
  SELECT array_agg(x.place) FROM (
    SELECT generate_series(0, %(count)s::int - 1) AS place, unnest(%(cart_id)s::text[]) AS cart_id,
      unnest(%(id)s::text[]) AS id, unnest(%(lsn)s::bigint[]) AS lsn
    WHERE EXISTS (SELECT FROM fence)) x
  WHERE NOT COALESCE((
    SELECT (s.lineage, s.lsn) >= (%(lineage)s::int, x.lsn)
      AND NOT (s.rejected AND s.lineage = %(lineage)s::int AND s.lsn = x.lsn)
    FROM {rows}.cart_items s WHERE s.cart_id = x.cart_id AND s.id = x.id), false)) AS places
""".replace("{fence}", FENCE).replace("{seen}", SEEN)
)


async def newer_writes(
    session: Session,
    parameters: Mapping[str, Any],
    writes: Sequence[RowWrite],
    *,
    rows_schema: str,
) -> list[RowWrite] | None:
    """Move the position and tell which writes are not stored yet; None when the fence says no.

    Runs inside a transaction of the caller, who writes them before COMMIT.
    """
    arguments = {**parameters, **key_columns(writes), "count": len(writes)}
    statement = COMPARE.replace("{rows}", rows_schema)
    row = await one_row(session, statement, arguments)
    if row is None or not row[0]:
        return None
    return [writes[place] for place in row[1] or ()]
