"""The views of a definition's schema: what BI reads, over the tables of one generation.

The columns are the contract; storage may change behind them. `pointing` moves them from one generation to
another.

Storage compares text by its bytes. People search in it, so what they read bears the collation of
the database: `lower`, ILIKE and patterns know its letters, and it can be joined with a column that
has a collation of its own. The keys of rows stay as they are stored, because the server
uses an index only for a comparison in the index's own collation.

A total is kept by differences, so its text bears the zeros of every document that ever was in it;
it is shown without any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from projector.postgres.freshness import FRESHNESS
from projector.postgres.generation import (
    Generation,
    group_of,
    group_type,
    quoted,
    shown_group,
    sql_type,
    value_of,
)
from projector.postgres.past import past_views
from projector.postgres.templates import COLLATED, View, listed
from projector.projection.definition import Bucket, Definition, Field, Group, Total

ROWS = """
SELECT {columns},
       to_timestamp(ts::double precision) AS changed_at,
       COALESCE(extra, '{{}}'::jsonb) AS extra
FROM {rows}
WHERE NOT deleted"""

TOTAL = """
SELECT {columns}
FROM {total}{first}
WHERE {row_count} > 0"""

FIRST_CHANGE = """
LEFT JOIN LATERAL (SELECT min(i.ts) AS first_ts
                   FROM {rows} AS i
                   WHERE {of_group} AND NOT i.deleted) AS f ON true"""

# A group is the one of its buckets that changed last, so that ORDER BY last_changed_at is the order of
# an index; what its other buckets hold is added by one look-up. The first change is asked of the rows,
# and only by who asks for it.
NEWEST_BUCKET = """
SELECT {columns}
FROM {total} AS n
CROSS JOIN LATERAL (SELECT {others},
                           max(b.bucket) AS bucket,
                           bool_or((b.last_changed_at, b.bucket) > (n.last_changed_at, n.bucket))
                           AS newer
                    FROM {total} AS b
                    WHERE {same_group} AND b.bucket <> n.bucket
                      AND b.{row_count} > 0) AS o
CROSS JOIN LATERAL (SELECT o.buckets + (n.bucket <> '')::int AS buckets) AS p{first}
WHERE n.last_changed_at IS NOT NULL AND o.newer IS NOT TRUE"""

ALL_BUCKETS = """
SELECT {columns}
FROM (SELECT {groups},
             {sums},
             count(*) FILTER (WHERE bucket <> '') AS buckets, max(bucket) AS bucket
      FROM {total}
      WHERE {row_count} > 0
      GROUP BY {groups}) AS n"""

BUCKETS = """
SELECT {columns}
FROM {total}
WHERE {row_count} > 0 AND bucket <> ''"""

# The reader's role belongs to the whole server: another database may have been quicker, and who may not
# create it here does without.
READER = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {name}) THEN
        BEGIN
            CREATE ROLE {role} NOLOGIN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN
                NULL;
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'role {role} is missing and may not be created here';
        END;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = {name}) THEN
        GRANT USAGE ON SCHEMA {schema} TO {role};
        GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role};
        GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} TO {role};
    END IF;
END
$$"""


def views_of(generation: Generation) -> Sequence[View]:
    """The views of its definition, reading that generation."""
    views = [_rows(generation)]
    for total in generation.definition.totals:
        if total.bucket is None:
            views.append(_total(generation, total))
        else:
            views.append(_whole_groups(generation, total, total.bucket))
            views.append(_buckets(generation, total, total.bucket))
    query = FRESHNESS.query.replace("{control}", generation.control)
    return [*views, FRESHNESS._replace(query=query), *past_views(generation)]


def comment_of_schema(definition: Definition) -> str:
    """What the schema says of itself."""
    return f"The {definition.container} container as tables: views only, for BI"


def is_collated(definition: Definition, group: Group) -> bool:
    """Whether people search in it: a text that is no key."""
    return group.of != definition.key.column and group_type(definition, group) == "text"


def reader_statement(definition: Definition) -> str:
    """SQL that lets the reader's role read every view."""
    role = definition.reader_role
    return READER.format(name=quoted(role), role=role, schema=definition.schema)


def _rows(generation: Generation) -> View:
    definition = generation.definition
    products = [
        f"{value_of(definition, product.column)} AS {product.column}"
        for product in definition.products
    ]
    shown = [definition.key.column, "id", *map(_field, definition.fields), *products]
    comments = {
        definition.key.column: definition.key.comment,
        "id": definition.id_comment,
        **{field.column: field.comment for field in definition.fields},
        **{product.column: product.comment for product in definition.products},
        "changed_at": "When the document was last changed at the source (_ts).",
        "extra": "All other fields of the document; {} when there are none.",
    }
    values = [*definition.columns, *(product.column for product in definition.products)]
    return View(
        definition.rows,
        definition.rows_comment,
        comments,
        ROWS.format(columns=listed(shown), rows=generation.rows),
        key=(definition.key.column, "id"),
        optional=frozenset(filter(definition.is_nullable, values)),
    )


def _field(field: Field) -> str:
    name = field.column
    return f"{name}{COLLATED} AS {name}" if sql_type(field) == "text" else name


def _total(generation: Generation, total: Total) -> View:
    definition = generation.definition
    of = "n." if total.keeps_last_change else ""
    columns = [
        *_groups(definition, total, of),
        f"{of}{total.row_count}",
        *(f"trim_scale({of}{each.column}) AS {each.column}" for each in total.sums),
        *_changes(total),
    ]
    query = TOTAL.format(
        columns=listed(columns),
        total=generation.table(total.name) + (" AS n" if of else ""),
        first=_first_change(generation, total),
        row_count=f"{of}{total.row_count}",
    )
    return View(
        total.name,
        total.comment,
        _comments(definition, total),
        query,
        key=_key(total),
        optional=_groups_without_value(definition, total),
    )


def _whole_groups(generation: Generation, total: Total, bucket: Bucket) -> View:
    """One row per group over its buckets; their sums only where there is one bucket."""
    definition = generation.definition
    of = _by_newest_bucket if total.keeps_last_change else _by_all_buckets
    in_one_bucket = {bucket.column, *(each.column for each in total.sums if each.per_bucket)}
    return View(
        total.name,
        total.comment,
        _comments(definition, total),
        of(generation, total, bucket),
        key=_key(total),
        optional=_groups_without_value(definition, total) | in_one_bucket,
    )


def _by_newest_bucket(generation: Generation, total: Total, bucket: Bucket) -> str:
    definition, count = generation.definition, total.row_count
    either = "CASE WHEN n.bucket <> '' THEN n.{0} ELSE o.{0} END"
    columns = [*_groups(definition, total, "n."), f"n.{count} + o.{count} AS {count}"]
    others = [f"COALESCE(sum(b.{count}), 0)::bigint AS {count}"]
    for each in total.sums:
        name = each.column
        if each.per_bucket:
            columns.append(f"{_one_bucket('p', f'trim_scale({either.format(name)})')} AS {name}")
        else:
            columns.append(f"trim_scale(n.{name} + o.{name}) AS {name}")
            others.append(f"COALESCE(sum(b.{name}), 0) AS {name}")
    named = _one_bucket("p", f"NULLIF({either.format('bucket')}, '-')")
    columns += [f"{named}{COLLATED} AS {bucket.column}", *_changes(total)]
    others.append("count(*) FILTER (WHERE b.bucket <> '') AS buckets")
    others += [
        f"sum(b.{each.column}) FILTER (WHERE b.bucket <> '') AS {each.column}"
        for each in total.sums
        if each.per_bucket
    ]
    return NEWEST_BUCKET.format(
        columns=listed(columns),
        others=listed(others, indent=27),
        total=generation.table(total.name),
        same_group=" AND ".join(f"b.{one.column} = n.{one.column}" for one in total.by),
        row_count=count,
        first=_first_change(generation, total),
    )


def _by_all_buckets(generation: Generation, total: Total, bucket: Bucket) -> str:
    definition, count = generation.definition, total.row_count
    columns = [*_groups(definition, total, "n."), f"n.{count}"]
    sums = [f"sum({count})::bigint AS {count}"]
    for each in total.sums:
        name, shown = each.column, f"trim_scale(n.{each.column})"
        columns.append(f"{_one_bucket('n', shown) if each.per_bucket else shown} AS {name}")
        sums.append(f"sum({name}) AS {name}")
    named = _one_bucket("n", "NULLIF(n.bucket, '-')")
    return ALL_BUCKETS.format(
        columns=listed([*columns, f"{named}{COLLATED} AS {bucket.column}"]),
        groups=", ".join(group.column for group in total.by),
        sums=listed(sums, indent=13),
        total=generation.table(total.name),
        row_count=count,
    )


def _one_bucket(of: str, value: str) -> str:
    return f"CASE WHEN {of}.buckets = 1 THEN {value} END"


def _buckets(generation: Generation, total: Total, bucket: Bucket) -> View:
    sums = [each for each in total.sums if each.per_bucket]
    columns = [
        *_groups(generation.definition, total),
        f"NULLIF(bucket, '-'){COLLATED} AS {bucket.column}",
        f"{total.row_count} AS {bucket.row_count}",
        *(f"trim_scale({each.column}) AS {each.column}" for each in sums),
    ]
    comments = {
        **{group.column: group.comment for group in total.by},
        bucket.column: bucket.column_comment,
        bucket.row_count: bucket.row_count_comment,
        **{each.column: each.bucket_comment for each in sums},
    }
    query = BUCKETS.format(
        columns=listed(columns),
        total=generation.table(total.name),
        row_count=total.row_count,
    )
    return View(
        bucket.view,
        bucket.view_comment,
        comments,
        query,
        key=(*_key(total), bucket.column),
        optional=_groups_without_value(generation.definition, total) | {bucket.column},
    )


def _groups(definition: Definition, total: Total, prefix: str = "") -> Sequence[str]:
    return [_group(definition, group, prefix) for group in total.by]


def _group(definition: Definition, group: Group, prefix: str) -> str:
    stored, shown = f"{prefix}{group.column}", shown_group(definition, group, prefix)
    if is_collated(definition, group):
        shown += COLLATED
    return shown if shown == stored else f"{shown} AS {group.column}"


def _changes(total: Total) -> Sequence[str]:
    if not total.keeps_last_change:
        return ()
    first = "to_timestamp(f.first_ts::double precision) AS first_changed_at"
    return (first, "n.last_changed_at")


def _first_change(generation: Generation, total: Total) -> str:
    if not total.keeps_last_change:
        return ""
    definition = generation.definition
    of_group = " AND ".join(
        f"{group_of(definition, group, 'i.')} = n.{group.column}" for group in total.by
    )
    return FIRST_CHANGE.format(rows=generation.rows, of_group=of_group)


def _key(total: Total) -> Sequence[str]:
    return tuple(group.column for group in total.by)


def _groups_without_value(definition: Definition, total: Total) -> frozenset[str]:
    return frozenset(group.column for group in total.by if definition.is_nullable(group.of))


def _comments(definition: Definition, total: Total) -> Mapping[str, str]:
    comments = {group.column: group.comment for group in total.by}
    comments[total.row_count] = total.row_count_comment
    comments.update({each.column: each.comment for each in total.sums})
    if total.bucket is not None:
        comments[total.bucket.column] = total.bucket.comment
    if total.keeps_last_change:
        rows = f"live {definition.row_noun}s"
        comments["first_changed_at"] = f"Oldest changed_at of the {rows}."
        comments["last_changed_at"] = f"Newest changed_at of the {rows}."
    return comments
