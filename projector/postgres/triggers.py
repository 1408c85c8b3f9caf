"""What the server does by itself: count rows that are copied in.

Each function has a search path of its own, so that its names are looked up in the server's own schema,
whatever the session says. The baseline holds what comes out for carts, frozen, and a test keeps both equal.
"""

from __future__ import annotations

from collections.abc import Sequence

from projector.postgres.deltas import in_locking_order, newest_function
from projector.postgres.expressions import BUCKET, group_type, key_columns, keys_of, value_of
from projector.postgres.generation import Generation
from projector.postgres.statements import with_seeds
from projector.postgres.templates import each, filled
from projector.projection.definition import Definition, Total

# The newest change of a group's live rows. Volatile, so it sees what the statement that calls it has
# written, and what others have committed meanwhile: it is called for a total that is locked already.
NEWEST = """
CREATE FUNCTION {name}({arguments}) RETURNS timestamptz
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (SELECT to_timestamp(max(i.ts)) FROM {rows} AS i
    WHERE NOT i.deleted
      AND {of_group});
END $$"""

# Rows that come by COPY are counted by the server itself, from what it has stored, in the order in which
# a batch locks totals. Asleep unless the transaction says that it copies; says that it has counted by
# taking that back.
COUNT_COPIED = """
CREATE FUNCTION {schema}.count_copied() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN{counts}
  IF current_setting('projector.copied') <> 'alone' THEN
    INSERT INTO projector.replay_seen (seen_group, keys_1, keys_2)
    SELECT current_setting('projector.copied')::bigint,
      array_agg(hashtextextended({key} || chr(1) || id, {seed_1})),
      array_agg(hashtextextended({key} || chr(1) || id, {seed_2})) FROM copied;
  END IF;
  PERFORM set_config('projector.copied', '', true);
  RETURN NULL;
END $$"""

COUNT = """
  INSERT INTO {total} AS t ({columns})
  SELECT {values}
  FROM copied WHERE NOT deleted
  GROUP BY {places} ORDER BY {places}
  ON CONFLICT ({keys}) DO UPDATE SET
    {added};"""

ON_COPY = """
CREATE TRIGGER {trigger} AFTER INSERT ON {rows}
REFERENCING NEW TABLE AS copied FOR EACH STATEMENT
WHEN (current_setting('projector.copied', true) <> '') EXECUTE FUNCTION {schema}.count_copied()"""


def counting(generation: Generation) -> Sequence[str]:
    """SQL that makes them for one generation, once its tables are there."""
    trigger = trigger_of(generation.definition)
    return [
        *(_newest(generation, one) for one in _totals(generation) if one.keeps_last_change),
        count_copied(generation),
        filled(ON_COPY, trigger=trigger, rows=generation.rows, schema=generation.schema),
    ]


def count_copied(generation: Generation) -> str:
    """SQL that makes the function which counts."""
    return filled(
        with_seeds(COUNT_COPIED),
        schema=generation.schema,
        key=generation.definition.key.column,
        counts="".join(_count(generation, total) for total in _totals(generation)),
    )


def trigger_of(definition: Definition) -> str:
    """The trigger that counts the rows that are copied in."""
    return f"{definition.rows}_copied"


def _totals(generation: Generation) -> Sequence[Total]:
    return in_locking_order(generation.definition)


def _newest(generation: Generation, total: Total) -> str:
    definition = generation.definition
    types = {group.column: group_type(definition, group) for group in total.by}
    names = key_columns(total)
    of_group = [
        f"{expression} = of_{column}" for column, expression in keys_of(definition, total, "i.")
    ]
    return filled(
        NEWEST,
        name=newest_function(generation, total),
        arguments=[f"of_{name} {'text' if name == BUCKET else types[name]}" for name in names],
        rows=generation.rows,
        of_group="\n      AND ".join(of_group),
    )


def _count(generation: Generation, total: Total) -> str:
    definition = generation.definition
    keys = [
        expression if expression == column else f"{expression} AS {column}"
        for column, expression in keys_of(definition, total)
    ]
    sums = {one.column: f"sum({value_of(definition, one.of)})" for one in total.sums}
    for one in total.sums:
        if definition.is_nullable(one.of):
            sums[one.column] = f"COALESCE({sums[one.column]}, 0)"
    columns = [*key_columns(total), total.row_count, *sums]
    values = [*keys, "count(*)", *sums.values()]
    added = each("{} = t.{} + excluded.{}", [total.row_count, *sums])
    if total.keeps_last_change:
        columns.append("last_changed_at")
        values.append("to_timestamp(max(ts))")
        added.append("last_changed_at = GREATEST(t.last_changed_at, excluded.last_changed_at)")
    return filled(
        COUNT,
        total=generation.table(total.name),
        columns=columns,
        values=values,
        places=[str(place) for place, _ in enumerate(keys, 1)],
        keys=key_columns(total),
        added=added,
    )
