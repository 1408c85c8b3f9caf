"""dbt sources: each view with what it says of itself, and tests of what it promises.

A test of dbt is one statement, so it sees one moment of the copy: totals and rows agree in it, whatever is
being written. The sources are as fresh as `freshness` says; unknown counts as not fresh.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from projector.bi.yaml import Value
from projector.postgres.freshness import FRESHNESS
from projector.postgres.templates import View
from projector.projection.definition import Definition, Total

WARN_MINUTES, ERROR_MINUTES = 5, 60
LOADED_AT = (
    "SELECT now() - lag_seconds * interval '1 second' FROM {schema}.{view} WHERE feed_range = 'all'"
)

UNIQUE_TOGETHER = """\
{% test unique_together(model, columns) %}
SELECT {{ columns | join(', ') }}
FROM {{ model }}
GROUP BY {{ columns | join(', ') }}
HAVING count(*) > 1
{% endtest %}
"""
"""A generic test of the package; NULL counts as a value."""

RECOUNT = """\
-- {name} says of each group what a recount of {rows} says.
SELECT {groups}
FROM (
  SELECT {grouped}, count(*) AS {count}{summed}
  FROM {{{{ source('{schema}', '{rows}') }}}}
  GROUP BY {numbers}
  UNION ALL
  SELECT {groups}, -{count}{negated}
  FROM {{{{ source('{schema}', '{name}') }}}}
) AS both_sides
GROUP BY {groups}
HAVING {different}
"""


def sources(definition: Definition, views: Sequence[View], comment: str) -> Mapping[str, Value]:
    """The document of the sources."""
    schema = definition.schema
    source: Mapping[str, Value] = {
        "name": schema,
        "schema": schema,
        "description": _told(comment),
        "config": {
            "loaded_at_query": LOADED_AT.format(schema=schema, view=FRESHNESS.name),
            "freshness": {
                "warn_after": {"count": WARN_MINUTES, "period": "minute"},
                "error_after": {"count": ERROR_MINUTES, "period": "minute"},
            },
        },
        "tables": [_table(definition, view) for view in views],
    }
    return {"version": 2, "sources": [source]}


def recounts(definition: Definition) -> Mapping[str, str]:
    """Name -> a test that finds groups whose total is not a recount of the rows."""
    return {
        f"{total.name}_is_a_recount": _recount(definition, total) for total in definition.totals
    }


def _table(definition: Definition, view: View) -> Mapping[str, Value]:
    together: Mapping[str, Value] = {} if len(view.key) == 1 else {"data_tests": [_unique(view)]}
    # The view that tells how fresh the others are is never late itself.
    asked: Mapping[str, Value] = (
        {"config": {"freshness": None}} if view.name == FRESHNESS.name else {}
    )
    return {
        "name": view.name,
        "description": _told(view.comment),
        **asked,
        **together,
        "columns": [_column(definition, view, name) for name in view.columns],
    }


def _unique(view: View) -> Mapping[str, Value]:
    return {"unique_together": {"arguments": {"columns": list(view.key)}}}


def _column(definition: Definition, view: View, name: str) -> Mapping[str, Value]:
    tests: list[Value] = []
    if (name,) == tuple(view.key):
        tests.append("unique")
    if name not in view.optional:
        tests.append("not_null")
    if name in view.accepted:
        tests.append({"accepted_values": {"arguments": {"values": list(view.accepted[name])}}})
    tests += [
        {"relationships": {"arguments": {"to": to, "field": field}}}
        for to, field in _relations(definition, view, name)
    ]
    column: Mapping[str, Value] = {"name": name, "description": _told(view.columns[name])}
    return {**column, "data_tests": tests} if tests else column


def _relations(definition: Definition, view: View, name: str) -> Sequence[tuple[str, str]]:
    """A row's group is in the total, and a total's group is one of some row."""
    found = []
    for total in definition.totals:
        if len(total.by) > 1 or total.by[0].per_day:
            continue
        [group] = total.by
        of_buckets = total.bucket is not None and view.name == total.bucket.view
        if (view.name, name) == (definition.rows, group.of) or (
            of_buckets and name == group.column
        ):
            found.append((total.name, group.column))
        if (view.name, name) == (total.name, group.column):
            found.append((definition.rows, group.of))
    schema = definition.schema
    return [(f"source('{schema}', '{view_name}')", column) for view_name, column in found]


def _recount(definition: Definition, total: Total) -> str:
    sums = [each for each in total.sums if not each.per_bucket]
    groups = ", ".join(group.column for group in total.by)
    different = [f"sum({column}) <> 0" for column in (total.row_count, *(s.column for s in sums))]
    return RECOUNT.format(
        name=total.name,
        rows=definition.rows,
        schema=definition.schema,
        count=total.row_count,
        groups=groups,
        grouped=", ".join(
            f"{grouped(group.of, per_day=group.per_day)} AS {group.column}" for group in total.by
        ),
        numbers=", ".join(str(at) for at in range(1, len(total.by) + 1)),
        summed="".join(f", COALESCE(sum({each.of}), 0) AS {each.column}" for each in sums),
        negated="".join(f", -{each.column}" for each in sums),
        different=" OR ".join(different),
    )


def grouped(column: str, *, per_day: bool) -> str:
    """What a total groups rows by."""
    return f"({column} AT TIME ZONE 'UTC')::date" if per_day else column


def _told(text: str) -> str:
    """A description; dbt takes two braces for the beginning of an expression."""
    return text.replace("{{", "{ {").replace("{%", "{ %").replace("{#", "{ #")
