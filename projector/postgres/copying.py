"""Batches of new documents go in by COPY, at half the cost of an upsert: no look-up, whole pages.

Only where every key is new. COPY itself finds out: a key that is stored already fails the whole
batch, nothing has happened, and the caller writes it the usual way. So the newest version wins here
as everywhere, and guessing wrong costs time only.

One transaction: (1) the position row is updated under the epoch, which holds it until COMMIT; (2) the
rows are copied, sorted by key; (3) the table's trigger counts from the rows that were
really stored, and keeps the hashes of their keys while a replay is open; (4) it is asked whether it
did, since a trigger can be switched off by others; COMMIT. Locks are taken in the order of the batch
statement.

What the server does by itself: count rows that are copied in.

Each function has a search path of its own, so that its names are looked up in the server's own schema,
whatever the session says. The baseline holds what comes out for carts, frozen, and a test keeps both equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from projector.core.errors import ConfigurationError
from projector.postgres.columns import values_by_column
from projector.postgres.connections import Session
from projector.postgres.deltas import in_locking_order, newest_function
from projector.postgres.generation import (
    BUCKET,
    Generation,
    group_type,
    key_columns,
    keys_of,
    value_of,
)
from projector.postgres.statements import FENCE, one_row, stored_values, with_seeds
from projector.postgres.templates import each, filled
from projector.projection.definition import Definition, Kind, Total
from projector.projection.writes import RowWrite

# The trigger works only in transactions that say so, and is told here which replay is open.
COUNTED_FENCE = (
    f"{FENCE}, set_config('projector.copied', COALESCE(seen_group::text, 'alone'), true)"
)

# The trigger empties what woke it.
COUNTED = "SELECT 1 WHERE current_setting('projector.copied') = ''"
NOT_COUNTED = (
    "the trigger that counts copied rows did not run, so nothing was committed: ALTER TABLE"
    " {rows} ENABLE TRIGGER {trigger}, and see that no trigger of others drops rows"
)

# A text that is exactly the mark of NULL is escaped where NULL may stand; elsewhere COPY refuses it, and it
# goes in another way.
COPY = """
COPY {rows} (epk, lsn, ts, lineage, deleted, {key}, id, etag, {values}, tombstone_tick)
FROM STDIN (NULL E'\\x01')"""

# The server stores one piece while the next is formatted, and no buffer grows with the batch, nor, but
# for a single large document, with what documents hold.
PIECE = 100
PIECE_BYTES = 100_000

_MARK = "\1"
_NULL = _MARK.encode()
_TABS_BESIDE_VALUES = 9
_STRANGERS = frozenset({Kind.TEXT, Kind.CODE})
_BOOLEANS = {None: _NULL, True: b"t", False: b"f"}
_ESCAPES = str.maketrans({
    "\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r", _MARK: r"\x01",
})  # fmt: skip


async def copy_rows(
    session: Session,
    parameters: Mapping[str, Any],
    writes: Sequence[RowWrite],
    *,
    generation: Generation,
) -> bool:
    """Copy the writes and move the position; False when the fence, or a flag it asks about, says no.

    Raises:
        psycopg.errors.UniqueViolation: a key is there already; the transaction is rolled back.
        ConfigurationError: The rows were not counted, or not all stored; rolled back as well.
    """
    async with session.transaction():
        held = await one_row(session, COUNTED_FENCE, parameters)
        if held is None:
            return False
        cursor = session.cursor()
        async with cursor.copy(copy_statement(generation)) as copy:
            for piece in pieces(writes):
                text = copy_text(
                    piece, generation.definition, lineage=parameters["lineage"], tick=held[0]
                )
                await copy.write(text)
        if await one_row(session, COUNTED, {}) is None or cursor.rowcount != len(writes):
            trigger = trigger_of(generation.definition)
            raise ConfigurationError(filled(NOT_COUNTED, rows=generation.rows, trigger=trigger))
    return True


@lru_cache(maxsize=8)
def copy_statement(generation: Generation) -> str:
    """The text for rows that come in as text."""
    definition = generation.definition
    return filled(
        COPY,
        rows=generation.rows,
        key=definition.key.column,
        values=stored_values(definition),
    )


def pieces(writes: Sequence[RowWrite]) -> Iterator[Sequence[RowWrite]]:
    """The writes in pieces that are bounded in rows and in bytes."""
    for start in range(0, len(writes), PIECE):
        piece = writes[start : start + PIECE]
        if sum([len(write.extra) for write in piece if write.extra]) <= PIECE_BYTES:
            yield piece
        else:
            yield from _by_bytes(piece)


def _by_bytes(writes: Sequence[RowWrite]) -> Iterator[Sequence[RowWrite]]:
    start = size_bytes = 0
    for at, write in enumerate(writes):
        more_bytes = len(write.extra or b"")
        if size_bytes + more_bytes > PIECE_BYTES and at > start:
            yield writes[start:at]
            start, size_bytes = at, 0
        size_bytes += more_bytes
    yield writes[start:]


def copy_text(
    writes: Sequence[RowWrite],
    definition: Definition,
    *,
    lineage: int,
    tick: int,
    sure: bool = False,
) -> bytes:
    """The rows in COPY's text format; a tombstone bears the tick of its commit.

    `sure`: no text is taken for NULL, in no column; who does not ask for it tries again when it was.
    """
    columns = values_by_column(writes, definition)
    text = _unescaped(writes, definition, columns, lineage, tick)
    tabs = (_TABS_BESIDE_VALUES + len(columns)) * len(writes)
    # Few shops write such characters, so it is cheaper to look once for all rows.
    if (
        sure
        or b"\\" in text
        or b"\r" in text
        or text.count(b"\n") != len(writes)
        or text.count(b"\t") != tabs
        or _has_mark(columns, definition)
    ):
        escaped = [_escaped(write) for write in writes]
        columns = values_by_column(escaped, definition)
        text = _unescaped(escaped, definition, columns, lineage, tick)
    return text


def _unescaped(
    writes: Sequence[RowWrite],
    definition: Definition,
    columns: Sequence[Sequence[Any]],
    lineage: int,
    tick: int,
) -> bytes:
    live, gone = b"%d\tf" % lineage, b"%d\tt" % lineage
    deleted = [write.deleted for write in writes]
    removed = True in deleted
    ticks = (
        [b"%d\n" % tick if one else b"\1\n" for one in deleted]
        if removed
        else [b"\1\n"] * len(writes)
    )
    rows = zip(
        [
            b"%d\t%d\t%d\t%b\t%b\t%b\t%b"
            % (
                w.epk,
                w.lsn,
                w.ts,
                gone if w.deleted else live,
                w.key.encode(),
                w.id.encode(),
                w.etag.encode(),
            )
            for w in writes
        ],
        *[
            _as_text(values, field.kind, all_there=not (removed or field.optional))
            for field, values in zip(definition.fields, columns, strict=True)
        ],
        [write.extra or _NULL for write in writes],
        ticks,
        strict=True,
    )
    return b"".join(map(b"\t".join, rows))


def _as_text(values: Sequence[Any], kind: Kind, *, all_there: bool) -> Iterable[bytes]:
    """The values of a column, NULL by its mark."""
    match kind:
        case Kind.BOOLEAN:
            return [_BOOLEANS[value] for value in values]
        case Kind.NUMBER:
            return values if all_there else [_NULL if one is None else one for one in values]
        case Kind.TEXT | Kind.CODE | Kind.TIME:
            if all_there:
                return map(str.encode, values)
            return [_NULL if one is None else one.encode() for one in values]


def _has_mark(columns: Sequence[Sequence[Any]], definition: Definition) -> bool:
    """Whether a text would be taken for NULL."""
    return any(
        field.optional and field.kind in _STRANGERS and _MARK in values
        for field, values in zip(definition.fields, columns, strict=True)
    )


def _escaped(write: RowWrite) -> RowWrite:
    extra = write.extra and msgspec.Raw(bytes(write.extra).decode().translate(_ESCAPES).encode())
    return msgspec.structs.replace(
        write,
        key=write.key.translate(_ESCAPES),
        id=write.id.translate(_ESCAPES),
        etag=write.etag.translate(_ESCAPES),
        values=tuple(
            value.translate(_ESCAPES) if isinstance(value, str) else value for value in write.values
        ),
        extra=extra,
    )


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
    INSERT INTO {control}.replay_seen (seen_group, keys_1, keys_2)
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
  GROUP BY {ordinals} ORDER BY {ordinals}
  ON CONFLICT ({keys}) DO UPDATE SET
    {added};"""

COUNT_ALL = """
INSERT INTO {total} ({columns})
SELECT {values}
FROM {rows} WHERE NOT deleted
GROUP BY {ordinals}"""

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
        control=generation.control,
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
    counted = _counted(generation, total)
    added = each("{} = t.{} + excluded.{}", [total.row_count, *(one.column for one in total.sums)])
    if total.keeps_last_change:
        added.append("last_changed_at = GREATEST(t.last_changed_at, excluded.last_changed_at)")
    return filled(COUNT, **counted, keys=key_columns(total), added=added)


def count_all(generation: Generation, total: Total) -> str:
    """SQL that fills an empty total from the rows."""
    return filled(COUNT_ALL, **_counted(generation, total), rows=generation.rows)


def _counted(generation: Generation, total: Total) -> dict[str, str | Sequence[str]]:
    """Which columns of a total there are, and what they are for the rows of a group."""
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
    if total.keeps_last_change:
        columns.append("last_changed_at")
        values.append("to_timestamp(max(ts))")
    return {
        "total": generation.table(total.name),
        "columns": columns,
        "values": values,
        "ordinals": [str(number) for number, _ in enumerate(keys, 1)],
    }
