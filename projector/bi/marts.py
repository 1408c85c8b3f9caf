"""Models of the dbt package: the views as they are, days for MetricFlow, and two kinds of examples.

A distribution shows how large the groups of the key are, and a breakdown adds the rows up by something else.
Whatever must not be added up (prices in two currencies) is told apart in both.
"""

from __future__ import annotations

from collections.abc import Mapping

from projector.bi.sources import grouped
from projector.postgres.days import days_of
from projector.projection.definition import Bucket, Definition, Group, Total

STAGED = """\
SELECT s.*{moment}
FROM {{{{ source('{schema}', '{name}') }}}} AS s{joined}
"""

# MetricFlow keeps the word `day` for itself.
STAGED_DAYS = """\
SELECT s.*, s.day AS on_day
FROM {{{{ source('{schema}', '{name}') }}}} AS s
WHERE s.known
"""

DAYS = """\
{{ config(materialized='view') }}
-- The days that MetricFlow counts by.
SELECT day::date AS date_day
FROM generate_series(current_date - 3660, current_date + 366, interval '1 day') AS day
"""

DISTRIBUTION = """\
{{{{ config(materialized='table') }}}}
-- How large the groups of {name} are.
SELECT {lead}count(*) AS {noun}_count{figures}
FROM {{{{ ref('{staged}') }}}}{grouping}
"""

BREAKDOWN = """\
{{{{ config(materialized='table') }}}}
-- The rows of {rows}, added up.
SELECT {groups},
       count(*) AS {row_noun}_count,
       count(DISTINCT {key}) AS {noun}_count{sums}
FROM {{{{ ref('{staged}') }}}}
GROUP BY {numbers}
"""

SHARES = (("median", "0.5"), ("p90", "0.9"), ("p99", "0.99"))


def staged(name: str) -> str:
    """The model that shows a view."""
    return f"stg_{name}"


def moment_of(definition: Definition, name: str) -> str:
    """The column of a staged view that MetricFlow counts days by."""
    if name == definition.rows:
        return "changed_at"
    keeping = any(total.keeps_last_change for total in _showing(definition, name))
    return "last_changed_at" if keeping else "observed_at"


def staging(definition: Definition) -> Mapping[str, str]:
    """Model -> its text: rows, totals and buckets as they are, each with a time, and days that are known."""
    names = [definition.rows, *(total.name for total in definition.totals)]
    names += [total.bucket.view for total in definition.totals if total.bucket is not None]
    days = {
        staged(one.name): STAGED_DAYS.format(schema=definition.schema, name=one.name)
        for one in days_of(definition)
    }
    return {staged(name): _staged(definition, name) for name in names} | days


def marts(definition: Definition) -> Mapping[str, str]:
    """Model -> its text."""
    made = {}
    for total in definition.totals:
        if any(group.of == definition.key.column for group in total.by):
            name = total.name if total.bucket is None else total.bucket.view
            made[f"{name}_distribution"] = _distribution(definition, total, name)
        else:
            by = "_and_".join(group.column for group in total.by)
            made[f"{definition.rows}_by_{by}"] = _breakdown(definition, total)
    return made


def described(definition: Definition, name: str) -> str:
    """What a mart says of itself."""
    [what] = [text for model, text in marts(definition).items() if model == name]
    return next(line for line in what.splitlines() if line.startswith("-- ")).removeprefix("-- ")


def buckets_of(definition: Definition) -> list[Bucket]:
    """What tells rows apart that must not be added up."""
    return [total.bucket for total in definition.totals if total.bucket is not None]


def _showing(definition: Definition, name: str) -> list[Total]:
    return [
        total
        for total in definition.totals
        if name == total.name or (total.bucket is not None and name == total.bucket.view)
    ]


def _staged(definition: Definition, name: str) -> str:
    schema, moment, joined = definition.schema, "", ""
    for total in _showing(definition, name):
        if not total.keeps_last_change:
            moment = ", now() AS observed_at"
        elif total.bucket is not None and name == total.bucket.view:
            moment = ", t.last_changed_at"
            same = ", ".join(group.column for group in total.by)
            joined = f"\nJOIN {{{{ source('{schema}', '{total.name}') }}}} AS t USING ({same})"
    return STAGED.format(schema=schema, name=name, moment=moment, joined=joined)


def _distribution(definition: Definition, total: Total, name: str) -> str:
    bucket = total.bucket
    sums = [each.column for each in total.sums if bucket is None or each.per_bucket]
    figures = [
        f"sum({column}) AS {column}, min({column}) AS least_{column}, max({column}) AS most_{column}"
        for column in sums
    ] + [
        f"percentile_disc({share}) WITHIN GROUP (ORDER BY {column}) AS {word}_{column}"
        for column in sums
        for word, share in SHARES
    ]
    return DISTRIBUTION.format(
        name=name,
        noun=definition.noun,
        staged=staged(name),
        lead="" if bucket is None else f"{bucket.column}, ",
        grouping="" if bucket is None else f"\nGROUP BY {bucket.column}",
        figures="".join(f",\n       {figure}" for figure in figures),
    )


def _breakdown(definition: Definition, total: Total) -> str:
    apart = [bucket.by for bucket in buckets_of(definition)]
    groups = [f"{_grouped(group)} AS {group.column}" for group in total.by] + apart
    summed = {each.of: None for one in definition.totals for each in one.sums}
    return BREAKDOWN.format(
        rows=definition.rows,
        row_noun=definition.row_noun,
        noun=definition.noun,
        key=definition.key.column,
        staged=staged(definition.rows),
        groups=", ".join(groups),
        numbers=", ".join(str(at) for at in range(1, len(groups) + 1)),
        sums="".join(f",\n       sum({column}) AS {column}" for column in summed),
    )


def _grouped(group: Group) -> str:
    return grouped(group.of, per_day=group.per_day)
