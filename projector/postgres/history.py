"""What happened to the rows, written down by the server itself: one log for all generations of a definition.

Statement triggers on the table of rows compare what a statement left with what it found, so whatever writes
rows is in the log: batches, copies, sweeps, repairs, hosts of the version before, and a person at a prompt.
What changes nothing that the view shows is no event, so a replay adds none; and an event commits with its row
or not at all. The log is exact enough that the rows of any time are those of now with later events undone
(see `past`).

An event bears the time at which its statement wrote. Its transaction holds the position row of its range by
then, so of two events of one row the later one was written later; and whoever takes that row after a moment
has waited for all events of before it.

Written only while a span of the generation is open (see `recording`): the first load is one number there.
The log is cut into months, with a part for what no month is there for: a missing month stops nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from projector.postgres.connections import Session
from projector.postgres.generation import SQL_TYPES, Generation, sql_type
from projector.postgres.templates import each, filled
from projector.projection.definition import Definition, Kind

LOG_SCHEMA = "projector"
KINDS = {
    "a": "added",
    "v": "revived",
    "c": "changed",
    "m": "removed_by_marker",
    "s": "removed_by_sweep",
    "p": "removed_by_repair",
    "j": "removed_by_rejection",
    "h": "removed_by_hand",
    "r": "rebuilt",
}
"""How the log names what happened, in one byte, and how people do."""

# Fixed widths first. `new_ts`: the version that did it, also when it left no row; NULL where the source
# did not tell, because the document was found absent. What a definition knows more than the one before it,
# it brings along; what is there is not locked. It has no key: once it is published, only its whole row tells
# which one changed, and without that the server would refuse the change, and with it the batch.
LOG = """
DO $$
BEGIN
  IF to_regclass('{log}') IS NULL THEN
    CREATE TABLE {log} (
        projected_at timestamptz NOT NULL,
        old_ts bigint,
        new_ts bigint,
        generation integer NOT NULL,
        kind "char" NOT NULL,
        {key} text COLLATE "C" NOT NULL,
        id text COLLATE "C" NOT NULL
    ) PARTITION BY RANGE (projected_at);
    CREATE TABLE {log}_other PARTITION OF {log} DEFAULT;
    ALTER TABLE {log} REPLICA IDENTITY FULL;
    ALTER TABLE {log}_other REPLICA IDENTITY FULL;
    CREATE INDEX {name}_key ON {log} ({key}, projected_at);
    CREATE INDEX {name}_time ON {log} USING brin (projected_at);
  END IF;{columns}
END
$$"""

COLUMNS = """
  IF (SELECT count(*) FROM pg_attribute WHERE attrelid = '{table}'::regclass
      AND attname IN ({names}) AND NOT attisdropped) < {count} THEN
    ALTER TABLE {table}
      {added};
  END IF;"""

# One row per stretch of time whose events are all there. `found`: rows at its begin, counted later.
SPANS = """
CREATE TABLE IF NOT EXISTS projector.history (
    projection text COLLATE "C" NOT NULL,
    generation integer NOT NULL,
    began_at timestamptz NOT NULL,
    known_from timestamptz NOT NULL,
    ended_at timestamptz,
    found bigint,
    CONSTRAINT history_pkey PRIMARY KEY (projection, generation, began_at)
)"""

SPANS_OPEN = """
CREATE UNIQUE INDEX IF NOT EXISTS history_open ON projector.history (projection, generation)
WHERE ended_at IS NULL"""

# What the views have to know of the settings; written by hosts when they start.
SETTINGS = """
CREATE TABLE IF NOT EXISTS projector.history_settings (
    one_row boolean NOT NULL DEFAULT true,
    recording boolean NOT NULL,
    abandoned_after interval NOT NULL,
    time_zone text NOT NULL,
    CONSTRAINT history_settings_pkey PRIMARY KEY (one_row),
    CONSTRAINT history_settings_one CHECK (one_row)
)"""

DEFAULT_SETTINGS = """
INSERT INTO projector.history_settings (recording, abandoned_after, time_zone)
VALUES (true, '24 hours', 'UTC')
ON CONFLICT (one_row) DO NOTHING"""

DAYS = """
CREATE TABLE IF NOT EXISTS projector.days (
    projection text COLLATE "C" NOT NULL,
    day date NOT NULL,
    ends_at timestamptz NOT NULL,
    time_zone text NOT NULL,
    known boolean NOT NULL,
    taken_at timestamptz NOT NULL,
    CONSTRAINT days_pkey PRIMARY KEY (projection, day)
)"""

BEGIN = """
CREATE FUNCTION {schema}.{function}() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp{settings} AS $$
DECLARE
  own CONSTANT integer := {generation};
  at CONSTANT timestamptz := clock_timestamp();
  marked record;
BEGIN
  IF EXISTS (SELECT FROM projector.history
             WHERE projection = {projection} AND generation = own AND ended_at IS NULL) THEN
    {body}
  END IF;
  RETURN NULL;
END $$"""

ADDED = """INSERT INTO {log} (projected_at, generation, kind, {key}, id, new_ts, {new})
    SELECT at, own, 'a', n.{key}, n.id, n.ts, {given}
    FROM after n WHERE NOT n.deleted;"""

# A transaction that does not write for the feed says so (see `sweep`). The plan is made once, maybe for a single row, and must not look for each row among all others.
CHANGED = """INSERT INTO {log} (projected_at, generation, kind, {key}, id, old_ts, new_ts, {old}, {new})
    SELECT at, own, CASE WHEN o.deleted THEN 'v' WHEN NOT n.deleted THEN 'c'
        WHEN current_setting('projector.cause', true) = 'sweep' THEN 's'
        WHEN current_setting('projector.cause', true) = 'repair' THEN 'p' ELSE 'm' END,
      n.{key}, n.id, CASE WHEN NOT o.deleted THEN o.ts END,
      CASE WHEN NOT n.deleted OR n.etag <> '' THEN n.ts END, {was}, {given}
    FROM before o JOIN after n ON n.{key} = o.{key} AND n.id = o.id
    WHERE o.deleted <> n.deleted OR NOT n.deleted AND (o.ts <> n.ts
      OR ({was}) IS DISTINCT FROM ({given}));
    -- The tombstone of a rejected version is marked by a statement of its own, in the same transaction.
    FOR marked IN SELECT n.{key} AS key, n.id FROM after n WHERE n.rejected AND n.deleted LOOP
      UPDATE {log} e SET kind = 'j'
      WHERE e.{key} = marked.key AND e.id = marked.id AND e.generation = own
        AND e.projected_at >= now() AND e.kind IN ('m', 's', 'p');
    END LOOP;"""

REMOVED = """INSERT INTO {log} (projected_at, generation, kind, {key}, id, old_ts, {old})
    SELECT at, own, 'h', o.{key}, o.id, o.ts, {was}
    FROM before o WHERE NOT o.deleted;"""

OTHER_TYPES = """
SELECT w.name, format_type(a.atttypid, NULL), format_type(w.type::regtype, NULL)
FROM unnest(%s::text[], %s::text[]) AS w(name, type)
JOIN pg_attribute a ON a.attrelid = to_regclass(%s) AND a.attname = 'old_' || w.name AND NOT a.attisdropped
WHERE a.atttypid <> w.type::regtype"""

TRIGGER = """
CREATE TRIGGER {name} AFTER {event} ON {rows}
REFERENCING {tables} FOR EACH STATEMENT EXECUTE FUNCTION {schema}.{function}()"""

WITH_HASHES = "\nSET enable_hashjoin = on SET enable_nestloop = off"


def log_of(definition: Definition) -> str:
    """The qualified name of the log."""
    return f"{LOG_SCHEMA}.{_events(definition)}"


def logged(definition: Definition) -> Sequence[str]:
    """The columns of a row that the log keeps both images of, beside its time."""
    return [*definition.columns, "extra"]


def log_statements(definition: Definition) -> Sequence[str]:
    """SQL that makes what all generations of the definition share, unless it is there."""
    names = {
        "log": log_of(definition),
        "name": _events(definition),
        "key": definition.key.column,
        "columns": with_columns(log_of(definition), dict(_columns(definition))),
    }
    return [SPANS, SPANS_OPEN, SETTINGS, DEFAULT_SETTINGS, DAYS, filled(LOG, **names)]


async def other_types_in_log(session: Session, definition: Definition) -> Sequence[str]:
    """Columns that the log, which all generations share, has already with another type."""
    if definition.history is None:
        return ()
    log = log_of(definition)
    asked = [(one.column, sql_type(one)) for one in definition.fields]
    rows = await session.execute(OTHER_TYPES, [*map(list, zip(*asked, strict=True)), log])
    return [
        f"{log} keeps {column} as {kept}, which would be {wanted}: give the column another name"
        for column, kept, wanted in await rows.fetchall()
    ]


def with_columns(table: str, columns: Mapping[str, str]) -> str:
    """The part of a block that gives a table these columns, each with its type, unless it has them."""
    return filled(
        COLUMNS,
        table=table,
        names=", ".join(f"'{name}'" for name in columns),
        count=str(len(columns)),
        added=",\n      ".join(f"ADD COLUMN IF NOT EXISTS {n} {t}" for n, t in columns.items()),
    )


def logging(generation: Generation) -> Sequence[str]:
    """SQL that makes a generation's rows write the log, once its table is there."""
    definition = generation.definition
    if definition.history is None:
        return ()
    triggers = (
        ("added", "INSERT", ("NEW TABLE AS after",), ADDED, ""),
        ("changed", "UPDATE", ("OLD TABLE AS before", "NEW TABLE AS after"), CHANGED, WITH_HASHES),
        ("removed", "DELETE", ("OLD TABLE AS before",), REMOVED, ""),
    )
    statements = []
    for what, event, tables, body, settings in triggers:
        function = f"log_{what}"
        names = {
            "schema": generation.schema,
            "function": function,
            "projection": f"'{definition.name}'",
            "generation": str(generation.id),
        }
        text = filled(body, **_parts(definition))
        statements.append(filled(BEGIN, **names, settings=settings, body=text))
        statements.append(
            filled(
                TRIGGER,
                name=f"{definition.rows}_{what}",
                event=event,
                rows=generation.rows,
                tables=" ".join(tables),
                schema=generation.schema,
                function=function,
            )
        )
    return statements


def _parts(definition: Definition) -> dict[str, str | Sequence[str]]:
    kept = logged(definition)
    return {
        "log": log_of(definition),
        "key": definition.key.column,
        "old": each("old_{}", kept),
        "new": each("new_{}", kept),
        "was": each("o.{}", kept),
        "given": each("n.{}", kept),
    }


def _columns(definition: Definition) -> Iterator[tuple[str, str]]:
    for mark in ("old_", "new_"):
        for field in definition.fields:
            type_ = sql_type(field)
            collated = ' COLLATE "C"' if type_ == SQL_TYPES[Kind.TEXT] else ""
            yield f"{mark}{field.column}", f"{type_}{collated}"
        yield f"{mark}extra", "jsonb"


def _events(definition: Definition) -> str:
    if definition.history is None:
        raise ValueError(f"projection {definition.name!r} keeps no history")
    return definition.history.events
