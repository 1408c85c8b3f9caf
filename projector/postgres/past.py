"""The views and functions that tell of the past: events, the rows and totals of a time, days, abandoned keys.

The rows of a time are those of now, with what happened since undone: a row without a later event stands as it
is; any other one as its first later event found it. Both are read in one snapshot, and both follow from the
views, so the functions are plain SQL that the server takes apart: who asks for one key reads one key.

A time that the history does not reach is refused, and never answered with what is not known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from projector.postgres.days import day_views, sums_of
from projector.postgres.generation import Generation, quoted, sql_type, value_of
from projector.postgres.history import KINDS, log_of
from projector.postgres.templates import COLLATED, View, filled, listed
from projector.projection.definition import Bucket, Definition, Group, History, Total

AT_THE_END_SECONDS = 5


class Routine(NamedTuple):
    """A function of the schema: its arguments and what it answers, and what it says of itself."""

    name: str
    arguments: str
    comment: str
    answers: str
    body: str

    def statements(self, schema: str) -> Iterator[str]:
        """SQL that makes it, or makes it anew."""
        name = f"{schema}.{self.name}({self.arguments})"
        yield f"CREATE OR REPLACE FUNCTION {name}\nRETURNS {self.answers} AS $${self.body}$$"
        yield f"COMMENT ON FUNCTION {name} IS {quoted(self.comment)}"


REACHES = """
DECLARE
    first timestamptz;
BEGIN
    SELECT known_from INTO first FROM projector.history
    WHERE projection = {projection} AND generation = {generation} AND ended_at IS NULL;
    IF first IS NULL THEN
        RAISE EXCEPTION 'no time of the past is known: the history has not begun, or is switched off'
            USING ERRCODE = '22023', HINT = 'See {schema}.history, and the setting PROJECTOR_HISTORY.';
    ELSIF t IS NULL OR t < first THEN
        RAISE EXCEPTION 'the history does not reach %: the first time that is known is %', t, first
            USING ERRCODE = '22023', HINT = 'See {schema}.history.';
    ELSIF t > clock_timestamp() THEN
        RAISE EXCEPTION '% has not come yet: the last time that is known is now', t
            USING ERRCODE = '22023';
    END IF;
    RETURN true;
END """

ROWS_AS_OF = """
SELECT {now}
FROM {schema}.{rows} AS i
WHERE {schema}.history_reaches($1) AND NOT EXISTS (
    SELECT FROM {schema}.{events} AS e
    WHERE e.{key} = i.{key} AND e.id = i.id AND e.projected_at > $1)
UNION ALL
SELECT {before}
FROM (SELECT DISTINCT ON ({key}, id) *
      FROM {schema}.{events}
      WHERE projected_at > $1
      ORDER BY {key}, id, projected_at) AS e
WHERE {schema}.history_reaches($1) AND e.old_changed_at IS NOT NULL """

TOTAL_AS_OF = """
SELECT {columns}
FROM {rows}_as_of($1) AS i{where}
GROUP BY {groups} """

# Each generation writes down what becomes of its own rows; what was read is told.
EVENTS = """
SELECT {columns}
FROM {log} AS e
JOIN projector.reigns AS r ON r.generation = e.generation AND r.live_from <= e.projected_at
    AND (r.live_until IS NULL OR r.live_until > e.projected_at)"""

# Of the live one, whichever that is: no switch has to replace this view.
SPANS = View(
    "history",
    "Since when it is known what happened to the rows: one row per stretch of time, the present one without"
    " an end. Between two of them nothing was written down.",
    {
        "began_at": "When it began to be written down; what was found then was not.",
        "known_from": "The first time that can be asked for; later than began_at once old events were dropped.",
        "ended_at": "When it was switched off; NULL: it goes on.",
        "found": "Number of rows that were there when it began; NULL while they are counted.",
    },
    """
SELECT began_at, known_from, ended_at, found
FROM projector.history
WHERE projection = {projection}
  AND generation = (SELECT g.id FROM projector.generations AS g WHERE g.state = 'live')""",
    key=("began_at",),
    optional=frozenset({"ended_at", "found"}),
)

# What is known of when somebody touched a key: its rows, and what was changed or removed. A longer pause
# between two of these times, and then a touch, is a key that was taken up again.
ABANDONED = """
SELECT t.{key}, {counted}, to_timestamp(r.last_ts::double precision) AS last_changed_at,
       p.last_touched_at, now() - p.last_touched_at AS idle,
       l.{touched}, p.re_engaged_count, p.last_re_engaged_at
FROM projector.history_settings AS s
CROSS JOIN LATERAL (SELECT DISTINCT {key}
                    FROM {total}
                    WHERE last_changed_at < now() - s.abandoned_after) AS t
CROSS JOIN LATERAL (SELECT {counts}, max(i.ts) AS last_ts
                    FROM (SELECT {values}
                          FROM {rows} AS i
                          WHERE i.{key} = t.{key} AND NOT i.deleted) AS i) AS r
CROSS JOIN LATERAL (
    SELECT max(at) AS last_touched_at,
           count(*) FILTER (WHERE at - before > s.abandoned_after) AS re_engaged_count,
           max(at) FILTER (WHERE at - before > s.abandoned_after) AS last_re_engaged_at
    FROM (SELECT at, lag(at) OVER (ORDER BY at) AS before
          FROM (SELECT to_timestamp(i.ts::double precision) AS at
                FROM {rows} AS i WHERE i.{key} = t.{key} AND NOT i.deleted
                UNION ALL
                SELECT to_timestamp(unnest(ARRAY[e.old_ts, e.new_ts])::double precision)
                FROM {log} AS e WHERE e.{key} = t.{key}) AS known
          WHERE at IS NOT NULL) AS touches) AS p
CROSS JOIN LATERAL (SELECT i.{column} AS {touched}
                    FROM {rows} AS i
                    WHERE i.{key} = t.{key} AND NOT i.deleted
                    ORDER BY i.ts DESC, i.id LIMIT 1) AS l
WHERE p.last_touched_at < now() - s.abandoned_after"""

Shown = Mapping[str, Sequence[tuple[str, str]]]
"""The columns of the views that are there, each with its type, in their order."""


def past_views(generation: Generation) -> Sequence[View]:
    """The views of the past; none without a history."""
    definition, history = generation.definition, generation.definition.history
    if history is None:
        return ()
    spans = filled(SPANS.query, projection=quoted(definition.name))
    views = [SPANS._replace(query=spans), _events(generation, history)]
    views += day_views(definition)
    total = next((one for one in definition.totals if _tells_abandoned(one)), None)
    return views if total is None else [*views, _abandoned(generation, history, total)]


def past_routines(generation: Generation, shown: Shown | None = None) -> Sequence[Routine]:
    """The functions that answer for a time, with the columns of the views; none without a history."""
    definition, history = generation.definition, generation.definition.history
    if history is None:
        return ()
    reaches = Routine(
        "history_reaches",
        "t timestamptz",
        "True when that time is known; otherwise an error that tells the first time that is.",
        "boolean LANGUAGE plpgsql STABLE SECURITY DEFINER\nSET search_path = pg_catalog, pg_temp",
        filled(
            REACHES,
            schema=definition.schema,
            projection=quoted(definition.name),
            generation=str(generation.id),
        ),
    )
    there = shown or {}
    routines = [reaches, _rows_as_of(definition, history, there)]
    for total in definition.totals:
        routines.append(_total_as_of(definition, total, there))
        if total.bucket is not None:
            routines.append(_buckets_as_of(definition, total, total.bucket, there))
    return routines


def _events(generation: Generation, history: History) -> View:
    definition = generation.definition
    key, kinds = (
        definition.key.column,
        " ".join(f"WHEN {quoted(k)} THEN {quoted(v)}" for k, v in KINDS.items()),
    )
    source = "to_timestamp(e.new_ts::double precision)"
    columns = [
        f"e.{key}", "e.id", f"CASE e.kind {kinds} END AS kind", "e.projected_at", f"{source} AS source_time",
        f"COALESCE(e.projected_at > {source} + interval '{AT_THE_END_SECONDS} seconds', true) AS may_be_folded",
    ]  # fmt: skip
    comments = _of_events(definition)
    for column, value, comment in _values(definition):
        columns += [
            f"{value.format('e.old_')} AS old_{column}",
            f"{value.format('e.new_')} AS new_{column}",
        ]
        comments[f"old_{column}"] = f"Before: {comment}"
        comments[f"new_{column}"] = f"After: {comment}"
    columns += [
        "to_timestamp(e.old_ts::double precision) AS old_changed_at",
        "CASE WHEN e.old_ts IS NOT NULL THEN COALESCE(e.old_extra, '{}'::jsonb) END AS old_extra",
        (
            "CASE WHEN e.kind IN ('a', 'v', 'c') OR e.kind = 'r' AND e.new_ts IS NOT NULL"
            " THEN COALESCE(e.new_extra, '{}'::jsonb) END AS new_extra"
        ),
    ]
    comments |= {
        "old_changed_at": "Before: when the document had been changed last.",
        "old_extra": "Before: all other fields of the document; NULL when there was no row.",
        "new_extra": "After: all other fields of the document; NULL when there is no row.",
    }
    return View(
        history.events,
        f"What happened to the {definition.row_noun}s since {definition.schema}.history began, and by what.",
        comments,
        filled(
            EVENTS,
            columns=listed(columns),
            log=log_of(definition),
        ),
        key=(key, "id", "projected_at"),
        optional=frozenset(["source_time", *list(comments)[6:]]),
        accepted={"kind": list(KINDS.values())},
    )


def _of_events(definition: Definition) -> dict[str, str]:
    """What the columns are that tell of the event itself."""
    return {
        definition.key.column: definition.key.comment,
        "id": definition.id_comment,
        "kind": "What happened: added, revived (it came back while its removal was still remembered), changed,"
        " removed by marker, sweep, repair, rejection or hand, or rebuilt (otherwise made anew).",
        "projected_at": "When it was written here, by the clock of the database.",
        "source_time": "When the document was changed at the source (_ts); NULL where that is not told, as for one"
        " that was found absent.",
        "may_be_folded": f"True when the change was read later than {AT_THE_END_SECONDS} seconds after it was made:"
        " versions of between may never have been seen. Otherwise at most those of the same moment.",
    }


def _values(definition: Definition) -> Iterator[tuple[str, str, str]]:
    """Each column of the view of rows with what it is, `{0}` before stored names, and its comment."""
    for field in definition.fields:
        text = COLLATED if sql_type(field) == "text" else ""
        yield field.column, f"{{0}}{field.column}{text}", field.comment
    for product in definition.products:
        factors = " * ".join(f"{{0}}{factor}" for factor in product.factors)
        yield product.column, factors, product.comment


def routine_statements(generation: Generation, shown: Shown | None = None) -> Sequence[str]:
    """SQL that makes these functions; those that are there keep their grants."""
    schema = generation.definition.schema
    return [one for made in past_routines(generation, shown) for one in made.statements(schema)]


def _rows_as_of(definition: Definition, history: History, shown: Shown) -> Routine:
    key = definition.key.column
    values = [column for column, _, _ in _values(definition)]
    now = {column: f"i.{column}" for column in (key, "id", *values, "changed_at", "extra")}
    before = {column: f"e.old_{column}" for column in now}
    before |= {column: f"e.{column}" for column in (key, "id")}
    body = filled(
        ROWS_AS_OF,
        schema=definition.schema,
        rows=definition.rows,
        events=history.events,
        key=key,
        now=", ".join(_in_order(now, shown.get(definition.rows))),
        before=", ".join(_in_order(before, shown.get(definition.rows))),
    )
    return _as_of(definition, definition.rows, body, f"The live {definition.row_noun}s of a time.")


def _in_order(columns: Mapping[str, str], shown: Sequence[tuple[str, str]] | None) -> Sequence[str]:
    """The columns as the view has them; one that it has no longer is without a value."""
    if shown is None:
        return list(columns.values())
    return [columns.get(name, f"NULL::{type_}") for name, type_ in shown]


def _total_as_of(definition: Definition, total: Total, shown: Shown) -> Routine:
    columns = {group.column: _group(group) for group in total.by}
    columns |= {total.row_count: "count(*)", **sums_of(total)}
    if total.keeps_last_change:
        columns |= {"first_changed_at": "min(i.changed_at)", "last_changed_at": "max(i.changed_at)"}
    return _grouped_as_of(
        definition, total.name, columns, [_group(group) for group in total.by], shown
    )


def _buckets_as_of(definition: Definition, total: Total, bucket: Bucket, shown: Shown) -> Routine:
    groups = {group.column: _group(group) for group in total.by} | {bucket.column: f"i.{bucket.by}"}
    columns = groups | {bucket.row_count: "count(*)"}
    columns |= {one.column: f"trim_scale(sum(i.{one.of}))" for one in total.sums if one.per_bucket}
    where = f"\nWHERE i.{bucket.of} IS NOT NULL"
    return _grouped_as_of(
        definition, bucket.view, columns, list(groups.values()), shown, where=where
    )


def _grouped_as_of(
    definition: Definition,
    view: str,
    columns: Mapping[str, str],
    groups: Sequence[str],
    shown: Shown,
    *,
    where: str = "",
) -> Routine:
    body = filled(
        TOTAL_AS_OF,
        columns=listed(_in_order(columns, shown.get(view))),
        rows=f"{definition.schema}.{definition.rows}",
        where=where,
        groups=", ".join(groups),
    )
    return _as_of(definition, view, body, f"What {definition.schema}.{view} said at a time.")


def _as_of(definition: Definition, view: str, body: str, comment: str) -> Routine:
    return Routine(
        f"{view}_as_of",
        "t timestamptz",
        f"{comment} An error for a time that {definition.schema}.history does not reach.",
        f"SETOF {definition.schema}.{view} LANGUAGE sql STABLE",
        body,
    )


def _group(group: Group) -> str:
    """A group as the view of its total shows it."""
    return f"(i.{group.of} AT TIME ZONE 'UTC')::date" if group.per_day else f"i.{group.of}"


def _tells_abandoned(total: Total) -> bool:
    return total.keeps_last_change and len(total.by) == 1


def _abandoned(generation: Generation, history: History, total: Total) -> View:
    definition = generation.definition
    key, field = definition.key.column, definition.field_of(history.touched)
    named = [] if total.bucket is None else [total.bucket.column]
    comments = {
        **{group.column: group.comment for group in total.by},
        total.row_count: total.row_count_comment,
        **{one.column: one.comment for one in total.sums},
        **({} if total.bucket is None else {total.bucket.column: total.bucket.comment}),
        "last_changed_at": f"Newest changed_at of the live {definition.row_noun}s.",
        "last_touched_at": f"When a {definition.row_noun} was last changed or removed, as far as it is known.",
        "idle": "How long ago that is.",
        history.touched_as: f"Of the {definition.row_noun} that was changed last: {field.comment}",
        "re_engaged_count": f"How often the {definition.noun} had been left alone for as long before, and was taken"
        " up again.",
        "last_re_engaged_at": "When that was last; NULL: never.",
    }
    text = COLLATED if sql_type(field) == "text" else ""
    counts = {total.row_count: "count(*)", **sums_of(total)}
    values = ["i.ts", *(f"i.{column}" for column in definition.columns)]
    values += [
        f"{value_of(definition, one.column, 'i.')} AS {one.column}" for one in definition.products
    ]
    query = filled(
        ABANDONED,
        key=key,
        counted=", ".join(f"r.{name}{text if name in named else ''} AS {name}" for name in counts),
        counts=listed([f"{what} AS {name}" for name, what in counts.items()], indent=27),
        values=", ".join(values),
        total=generation.table(total.name),
        column=history.touched + text,
        touched=history.touched_as,
        rows=generation.rows,
        log=log_of(definition),
    )
    return View(
        history.abandoned,
        f"{definition.noun.capitalize()}s with live {definition.row_noun}s that nobody has touched for as long as"
        " the setting PROJECTOR_ABANDONED_AFTER_HOURS says.",
        comments,
        query,
        key=(key,),
        optional=frozenset(
            [one.column for one in total.sums if one.per_bucket]
            + named
            + [history.touched_as] * field.optional
            + ["last_re_engaged_at"]
        ),
    )
