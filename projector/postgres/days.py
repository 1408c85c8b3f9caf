"""The state of each day that is over: what is kept of it, how it is taken, and the views that tell it.

A day is taken from the rows as of its last moment, so it comes out the same however late that happens; once
taken it is never written again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from projector.postgres.generation import SQL_TYPES, group_type, quoted
from projector.postgres.history import with_columns
from projector.postgres.templates import COLLATED, View, filled, listed
from projector.projection.definition import Bucket, Definition, Group, Kind, Total

TEXT = SQL_TYPES[Kind.TEXT]

TABLE = """
DO $$
BEGIN
  IF to_regclass('{table}') IS NULL THEN
    CREATE TABLE {table} (day date NOT NULL);
    ALTER TABLE {table} REPLICA IDENTITY FULL;
    CREATE INDEX {name}_day ON {table} (day);
  END IF;{columns}
END
$$"""

# One text of many days, such as an item, as `views` compare it: by the collation of the database.
BY_GROUP = """
DO $$
BEGIN
  IF to_regclass('projector.{index}') IS NULL THEN
    CREATE INDEX {index} ON projector.{name} USING hash (({group}{collated}));
  END IF;
END
$$"""

PER_DAY = """
SELECT {columns}
FROM projector.days AS d
LEFT JOIN projector.{name} AS t ON t.day = d.day
WHERE d.projection = {projection} AND (t.day IS NOT NULL OR NOT d.known)"""


class Days(NamedTuple):
    """What is kept of each day: under which name, and each column with its type, what it is, and its comment."""

    name: str
    comment: str
    groups: Mapping[str, tuple[str, str, str]]
    values: Mapping[str, tuple[str, str, str]]
    where: str = ""

    def taking(self, definition: Definition) -> str:
        """SQL that takes the state of a time, as the end of a day."""
        columns = {**self.groups, **self.values}
        by = ", ".join(str(number) for number in range(2, 2 + len(self.groups)))
        return (
            f"INSERT INTO projector.{self.name} (day, {', '.join(columns)})\n"
            f"SELECT %(day)s::date, {', '.join(what for _, what, _ in columns.values())}\n"
            f"FROM {definition.schema}.{definition.rows}_as_of(%(at)s::timestamptz) AS i{self.where}"
            + (f"\nGROUP BY {by}" if by else "")
        )


def days_of(definition: Definition) -> Iterator[Days]:
    """What is kept of each day; nothing without a history."""
    for total in definition.totals if definition.history is not None else ():
        if total.per_day:
            yield _days(definition, total)
        if total.bucket is not None and total.bucket.per_day:
            yield _days_of_buckets(definition, total, total.bucket)


def day_statements(definition: Definition) -> Iterator[str]:
    """SQL that makes the tables of days and their columns, unless they are there."""
    for days in days_of(definition):
        table = f"projector.{days.name}"
        columns = {
            name: _stored(kind) for name, (kind, _, _) in {**days.groups, **days.values}.items()
        }
        yield filled(TABLE, table=table, name=days.name, columns=with_columns(table, columns))
        # A bucket's codes are few, and each stands in all days.
        for group in (
            total.by[0].column for total in definition.totals if total.per_day == days.name
        ):
            if group in days.groups and days.groups[group][0] == TEXT:
                yield filled(
                    BY_GROUP,
                    index=f"{days.name}_{group}",
                    name=days.name,
                    group=group,
                    collated=COLLATED,
                )


def _stored(kind: str) -> str:
    return f'{kind} COLLATE "C"' if kind == TEXT else kind


def day_views(definition: Definition) -> Sequence[View]:
    """The views of days."""
    return [_view(definition, days) for days in days_of(definition)]


def sum_of(column: str) -> str:
    """A sum over the rows of a view; rows without a value add nothing."""
    return f"trim_scale(COALESCE(sum(i.{column}), 0))"


def sums_of(total: Total) -> Mapping[str, str]:
    """Each sum of a group, and the name of its bucket: NULL when there are several, as sums per bucket are."""
    bucket = total.bucket
    if bucket is None:
        return {one.column: sum_of(one.of) for one in total.sums}
    least, most = (f"{which}({_bucket(bucket)}){_in(bucket)}" for which in ("min", "max"))
    one_bucket = f"CASE WHEN {least} = {most} THEN {{}} END"
    sums = {
        one.column: one_bucket.format(f"trim_scale(sum(i.{one.of}))")
        if one.per_bucket
        else sum_of(one.of)
        for one in total.sums
    }
    return {**sums, bucket.column: one_bucket.format(f"NULLIF({least}, '-')")}


def _bucket(bucket: Bucket) -> str:
    return f"COALESCE(i.{bucket.by}, '-')"


def _in(bucket: Bucket) -> str:
    return f" FILTER (WHERE i.{bucket.of} IS NOT NULL)"


def _days(definition: Definition, total: Total) -> Days:
    groups = [group for group in total.by if group.of != definition.key.column]
    values = {}
    if len(groups) < len(total.by):
        noun = definition.noun
        values[f"{noun}_count"] = (
            "bigint", f"count(DISTINCT i.{definition.key.column})",
            f"Number of {noun}s with at least one live {definition.row_noun}.",
        )  # fmt: skip
    values[total.row_count] = ("bigint", "count(*)", total.row_count_comment)
    sums = sums_of(total)
    for one in total.sums:
        values[one.column] = ("numeric", sums[one.column], _of_day(one.comment))
    if total.bucket is not None:
        name = total.bucket.column
        values[name] = (TEXT, sums[name], total.bucket.comment)
    return Days(
        total.per_day,
        _told(definition, [group.column for group in groups]),
        {group.column: _day_group(definition, group) for group in groups},
        values,
    )


def _days_of_buckets(definition: Definition, total: Total, bucket: Bucket) -> Days:
    groups = [group for group in total.by if group.of != definition.key.column]
    by = {group.column: _day_group(definition, group) for group in groups}
    by[bucket.column] = (TEXT, f"i.{bucket.by}", bucket.column_comment)
    values = {bucket.row_count: ("bigint", "count(*)", bucket.row_count_comment)}
    for one in total.sums:
        if one.per_bucket:
            values[one.column] = ("numeric", f"trim_scale(sum(i.{one.of}))", one.bucket_comment)
    return Days(
        bucket.per_day,
        _told(definition, list(by)),
        by,
        values,
        f"\nWHERE i.{bucket.of} IS NOT NULL",
    )


def _day_group(definition: Definition, group: Group) -> tuple[str, str, str]:
    shown = f"(i.{group.of} AT TIME ZONE 'UTC')::date" if group.per_day else f"i.{group.of}"
    return group_type(definition, group), shown, group.comment


def _told(definition: Definition, groups: Sequence[str]) -> str:
    of = f" and {', '.join(groups)}" if groups else ""
    return (
        f"The live {definition.row_noun}s at the end of each day, as the copy had them then: one row per day{of}."
        " A day that is over never changes; one of which it is not known is told with known = false."
    )


def _of_day(comment: str) -> str:
    """Totals of a day point at no other view."""
    return comment.partition(" (see ")[0].rstrip(".") + "."


def _view(definition: Definition, days: Days) -> View:
    comments = {
        "day": "The day, in the time zone of the setting PROJECTOR_DAYS_TIME_ZONE.",
        "ends_at": "The moment at which it ended.",
        "known": "Whether the state at that moment is known; the numbers are NULL when it is not.",
        **{name: comment for name, (_, _, comment) in {**days.groups, **days.values}.items()},
    }
    columns = ["d.day", "d.ends_at", "d.known"]
    for name, (kind, _, _) in {**days.groups, **days.values}.items():
        columns.append(f"t.{name}{COLLATED} AS {name}" if kind == TEXT else f"t.{name}")
    return View(
        days.name,
        days.comment,
        comments,
        filled(
            PER_DAY, columns=listed(columns), name=days.name, projection=quoted(definition.name)
        ),
        key=("day", *days.groups),
        optional=frozenset([*days.groups, *days.values]),
    )
