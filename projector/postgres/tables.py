"""The storage of one generation, as SQL made from its definition: a table of rows, and one per total.

Text is COLLATE "C", so that the database orders as Python does, whatever its own collation. Constraints
are the last net under `projector.projection`, not a second set of rules. The baseline among the migrations
holds what comes out for carts, frozen, and a test holds both equal; those of positions, replays and
quarantine, which are the same for every definition, are said in `control`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from projector.postgres.control import control_statements, fill_statement
from projector.postgres.copying import counting
from projector.postgres.days import day_statements
from projector.postgres.generation import (
    BUCKET,
    SQL_TYPES,
    Generation,
    group_type,
    keeps_last_change,
    key_columns,
    previous_columns,
    quoted,
    shown_group,
    sql_type,
)
from projector.postgres.history import log_statements, logging
from projector.postgres.templates import COLLATED
from projector.postgres.views import is_collated
from projector.projection.definition import Definition, Field, Kind, Total

# Fixed widths first: the server finds them without walking over the texts. Last the previous image, for
# servers whose RETURNING cannot tell it (before 18).
ROWS = """
CREATE TABLE {table} (
    epk bigint NOT NULL,
    lsn bigint NOT NULL,
    ts bigint NOT NULL,
    lineage integer NOT NULL,
    deleted boolean NOT NULL,
    rejected boolean NOT NULL DEFAULT false,
    {columns},
    {constraints}
) WITH (fillfactor = 75)"""

ROWS_PKEY = "CONSTRAINT {rows}_pkey PRIMARY KEY ({key}, id)"

# Not on a column that live updates change, or those would no longer be heap-only.
TOMBSTONES = "CREATE INDEX {rows}_tombstones ON {table} (epk) WHERE deleted"

TOTAL = """
CREATE TABLE {table} (
    {columns}
) WITH (fillfactor = 70)"""

TOTAL_PKEY = "CONSTRAINT {name}_pkey PRIMARY KEY ({key})"

# Of the newest row, NULL where there is none; beside it, spare, what an upsert has to tell.
LAST_CHANGE = ("last_changed_at timestamptz", "left_at timestamptz")
BY_LAST_CHANGE = """
CREATE INDEX {name}_last ON {table} (last_changed_at) WHERE last_changed_at IS NOT NULL"""

# The view's text bears the collation of the database, for which the primary key is no index. By its
# hash, which no update of the operating system's collations makes wrong.
BY_HASH = "CREATE INDEX {name}_{column} ON {table} USING hash (({shown}))"

UPPER_LETTERS = re.compile(r"\[A-Z\]\{(\d+)\}")


def table_statements(generation: Generation) -> Sequence[str]:
    """SQL that makes the schema of one generation with its tables, empty, and what counts in them.

    Control tables come with it, but for generations whose control tables are there already.
    """
    statements = [*_schema(generation), _rows(generation, keyed=True), *row_indexes(generation)]
    for total in generation.definition.totals:
        statements += [_total(generation, total, keyed=True), *total_indexes(generation, total)]
    return [*statements, *counting(generation), *past_statements(generation)]


def past_statements(generation: Generation) -> Sequence[str]:
    """SQL that makes what is kept of the past, unless it is there, and what writes it for this generation."""
    definition = generation.definition
    if definition.history is None:
        return ()
    return [*log_statements(definition), *day_statements(definition), *logging(generation)]


def plain_statements(generation: Generation) -> Sequence[str]:
    """The same without keys, indexes and what counts: those are made from the rows (`finishing`)."""
    totals = generation.definition.totals
    return [
        *_schema(generation),
        fill_statement(generation.control),
        _rows(generation, keyed=False),
        *(_total(generation, total, keyed=False) for total in totals),
    ]


def _schema(generation: Generation) -> Sequence[str]:
    own = generation.control == generation.schema
    return [
        f"CREATE SCHEMA {generation.schema}",
        *([control_statements(generation.control)] if own else []),
    ]


def row_key(generation: Generation) -> str:
    """SQL that gives plain rows their primary key."""
    return f"ALTER TABLE {generation.rows} ADD {_row_key(generation.definition)}"


def row_indexes(generation: Generation) -> Sequence[str]:
    """SQL of the indexes beside the primary key."""
    return [TOMBSTONES.format(table=generation.rows, rows=generation.definition.rows)]


def total_key(generation: Generation, total: Total) -> str:
    """SQL that gives a plain total its primary key."""
    return f"ALTER TABLE {generation.table(total.name)} ADD {_total_key(total)}"


def total_indexes(generation: Generation, total: Total) -> Sequence[str]:
    """SQL of a total's indexes beside the primary key."""
    return list(_total_indexes(generation, total))


def _rows(generation: Generation, *, keyed: bool) -> str:
    definition = generation.definition
    return ROWS.format(
        table=generation.rows,
        columns=_lines(list(_columns(definition))),
        constraints=_lines([*_if(_row_key(definition), keyed), *_checks(definition)]),
    )


def _row_key(definition: Definition) -> str:
    return ROWS_PKEY.format(rows=definition.rows, key=definition.key.column)


def _if(text: str, wanted: bool) -> Sequence[str]:  # noqa: FBT001 - reads as a sentence
    return [text] if wanted else []


def _columns(definition: Definition) -> Iterator[str]:
    key = definition.key.column
    yield f'{key} text COLLATE "C" NOT NULL'
    yield 'id text COLLATE "C" NOT NULL'
    yield from map(_column, definition.fields)
    yield from ("etag text NOT NULL", "extra jsonb", "tombstone_tick bigint")
    yield from ("p_deleted boolean", "p_same boolean")
    for name in previous_columns(definition):
        yield f"p_{_column(definition.field_of(name))}"
    if keeps_last_change(definition):
        yield "p_ts bigint"


def _column(field: Field) -> str:
    return f"{field.column} {_collated(sql_type(field))}"


def _collated(type_: str) -> str:
    return f'{type_} COLLATE "C"' if type_ == SQL_TYPES[Kind.TEXT] else type_


def _checks(definition: Definition) -> Iterator[str]:
    key = definition.key.column
    yield _check(
        f"{definition.rows}_key", f"{key} <> '' AND id <> '' AND octet_length({key}) <= 1024"
    )
    needed = [
        f"{field.column} IS NOT NULL{_and(_net_of_text(field))}"
        for field in definition.fields
        if not field.optional
    ]
    if needed:
        yield _check(f"{definition.rows}_live", f"deleted OR ({' AND '.join(needed)})")
    for field in definition.fields:
        net = _net(field)
        if net:
            yield _check(f"{definition.rows}_{field.column}", net)


def _net_of_text(field: Field) -> str:
    column = field.column
    return f"{column} <> '' AND octet_length({column}) <= 1024" if field.kind is Kind.TEXT else ""


def _net(field: Field) -> str:
    """What holds whenever there is a value; "" where that is said of live rows already."""
    column = field.column
    match field.kind:
        case (
            Kind.NUMBER
        ):  # NaN sorts above every number: one bound keeps out NaN and both infinities
            return f"abs({column}) < 1e18"
        case Kind.TIME:
            return f"isfinite({column})"
        case Kind.CODE:
            return _net_of_code(column, field.pattern)
        case Kind.TEXT:
            return _net_of_text(field) if field.optional else ""
        case Kind.BOOLEAN:
            return ""


def _net_of_code(column: str, pattern: str) -> str:
    letters = UPPER_LETTERS.fullmatch(pattern)
    if letters is not None:  # a third of what the pattern costs, and most codes are such
        return f"octet_length({column}) = {letters[1]} AND {column} = upper({column})"
    return f"{column} ~ {quoted(f'^(?:{pattern})$')}"


def _total(generation: Generation, total: Total, *, keyed: bool) -> str:
    definition = generation.definition
    groups = [
        f"{group.column} {_collated(group_type(definition, group))} NOT NULL" for group in total.by
    ]
    columns = [f"{total.row_count} bigint NOT NULL", *groups]
    if total.bucket is not None:
        columns.append(f'{BUCKET} text COLLATE "C" NOT NULL')
    columns += [f"{each.column} numeric NOT NULL" for each in total.sums]
    if total.keeps_last_change:
        columns += LAST_CHANGE
    numbers = " AND ".join(f"{each.column} <> 'NaN'" for each in total.sums)
    columns += _if(_total_key(total), keyed)
    columns += _if(_check(f"{total.name}_numbers", numbers), bool(numbers))
    return TOTAL.format(table=generation.table(total.name), columns=_lines(columns))


def _total_key(total: Total) -> str:
    return TOTAL_PKEY.format(name=total.name, key=", ".join(key_columns(total)))


def _total_indexes(generation: Generation, total: Total) -> Iterator[str]:
    definition = generation.definition
    names = {"table": generation.table(total.name), "name": total.name}
    if total.keeps_last_change:
        yield BY_LAST_CHANGE.format(**names)
    for group in total.by:
        if is_collated(definition, group):
            shown = shown_group(definition, group) + COLLATED
            yield BY_HASH.format(**names, column=group.column, shown=shown)


def _check(name: str, condition: str) -> str:
    return f"CONSTRAINT {name} CHECK ({condition})"


def _and(condition: str) -> str:
    return f" AND {condition}" if condition else ""


def _lines(parts: Sequence[str]) -> str:
    return ",\n    ".join(parts)
