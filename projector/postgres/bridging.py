"""A new generation goes on with the history of the one before it, so that a rebuild costs no past.

Each generation writes down what becomes of its own rows, from before it is read until after. So both can
tell their rows of the moment at which the one followed the other, however much later they are asked, and
nobody is kept waiting. Where they differ, that is written down as an event of this moment; from then on the
former one's events lead further back. What only one of them has a column for is no difference.
"""

from __future__ import annotations

from typing import Any

from psycopg.rows import dict_row

from projector.postgres.connections import Connections
from projector.postgres.generation import Generation, sql_type
from projector.postgres.generations import by_id
from projector.postgres.history import log_of, logged
from projector.postgres.sweep import SCAN_SECONDS, allow_scan
from projector.postgres.templates import each, filled

# The former one is fed still, and both have been written down since before the switch.
TO_BRIDGE = """
SELECT q.generation AS former, r.live_from AS at, p.known_from
FROM projector.history n
JOIN projector.reigns r ON r.generation = n.generation AND r.live_until IS NULL
JOIN projector.reigns q ON q.live_until = r.live_from
JOIN projector.generations g ON g.id = q.generation AND g.state = 'former'
JOIN projector.history p ON p.projection = n.projection AND p.generation = q.generation
  AND p.ended_at IS NULL AND p.known_from < r.live_from
WHERE n.projection = %(projection)s AND n.generation = %(generation)s AND n.ended_at IS NULL
  AND n.began_at <= r.live_from AND n.known_from = r.live_from
FOR UPDATE OF n"""

STATE = """
    SELECT i.{key}, i.id, i.ts, {now} FROM {rows} i
    WHERE NOT i.deleted AND NOT EXISTS (
      SELECT FROM {log} e WHERE e.{key} = i.{key} AND e.id = i.id
        AND e.generation = {id} AND e.projected_at > %(at)s)
    UNION ALL
    SELECT e.{key}, e.id, e.old_ts, {before}
    FROM (SELECT DISTINCT ON ({key}, id) * FROM {log}
          WHERE generation = {id} AND projected_at > %(at)s
          ORDER BY {key}, id, projected_at) e
    WHERE e.old_ts IS NOT NULL"""

BRIDGE = """
INSERT INTO {log} (projected_at, generation, kind, {key}, id, old_ts, new_ts, {old}, {new})
SELECT %(at)s, {id}, 'r', COALESCE(a.{key}, b.{key}), COALESCE(a.id, b.id), a.ts, b.ts, {was}, {given}
FROM ({former}) a
FULL JOIN ({present}) b ON b.{key} = a.{key} AND b.id = a.id
WHERE a.ts IS DISTINCT FROM b.ts OR ({one}) IS DISTINCT FROM ({other})"""

BRIDGED = """
UPDATE projector.history SET known_from = %(known_from)s
WHERE projection = %(projection)s AND generation = %(generation)s AND ended_at IS NULL"""


async def bridge(connections: Connections, generation: Generation) -> int | None:
    """Go on with the history of the generation that was live before; None: there is none to go on with.

    Tells in how many rows both differed.
    """
    definition = generation.definition
    if definition.history is None:
        return None
    about: dict[str, Any] = {"projection": definition.name, "generation": generation.id}
    async with connections.transaction(seconds=SCAN_SECONDS) as session:
        cursor = session.cursor(row_factory=dict_row)
        found = await (await cursor.execute(TO_BRIDGE, about)).fetchone()
        if found is None:
            return None
        former = (await by_id(session, found["former"])).generation
        await allow_scan(session)
        statement = bridge_statement(former, generation)
        differing = (await session.execute(statement.encode(), found)).rowcount
        await session.execute(BRIDGED, {**about, **found})
        return differing


def bridge_statement(former: Generation, generation: Generation) -> str:
    """Writes down where the rows of a moment differ."""
    definition = generation.definition
    kept = logged(definition)
    fields = {one.column: one.name for one in definition.fields}
    before = {one.column: one.name for one in former.definition.fields}
    both = [column for column in fields if column in before]
    moved = ", ".join(
        "'" + name.replace("'", "''").replace("%", "%%") + "'"
        for name in sorted({*fields.values()} ^ {*before.values()})
    )
    extra = f"NULLIF({{}}.extra - ARRAY[{moved}]::text[], '{{{{}}}}')"
    return filled(
        BRIDGE,
        log=log_of(definition),
        key=definition.key.column,
        id=str(generation.id),
        old=each("old_{}", kept),
        new=each("new_{}", kept),
        was=each("a.{}", kept),
        given=each("b.{}", kept),
        former=_state(former, generation),
        present=_state(generation, generation),
        one=[*each("a.{}", both), extra.format("a")],
        other=[*each("b.{}", both), extra.format("b")],
    )


def _state(of: Generation, like: Generation) -> str:
    """The rows of one generation, with the columns of the other."""
    definition, there = like.definition, {*logged(of.definition)}
    now, before = [], []
    for column in logged(definition):
        kind = "jsonb" if column == "extra" else sql_type(definition.field_of(column))
        without = f"NULL::{kind} AS {column}"
        now.append(f"i.{column}" if column in there else without)
        before.append(f"e.old_{column}" if column in there else without)
    return filled(
        STATE,
        key=definition.key.column,
        rows=of.rows,
        log=log_of(definition),
        id=str(of.id),
        now=now,
        before=before,
    )
