"""The semantic models of MetricFlow: entities, dimensions and measures that follow from the definition.

What is summed up per bucket only (an amount per currency) is a measure of rows and of buckets; whoever asks
for it has to group by that column, and its description says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from projector.bi.marts import buckets_of, moment_of, staged
from projector.bi.yaml import Value
from projector.postgres.days import Days, days_of
from projector.projection.definition import Bucket, Definition, Field, Kind, Total

Document = Mapping[str, Value]
DAY = "on_day"
COUNTED = frozenset({"bigint", "numeric"})
"""Types of what is a measure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    """A semantic model; `name` is the view's."""

    name: str
    comment: str
    moment: str
    entities: Sequence[Document]
    dimensions: Sequence[Document]
    measures: Sequence[Document]

    @property
    def document(self) -> Document:
        return {
            "name": self.name,
            "description": self.comment,
            "model": f"ref('{staged(self.name)}')",
            "defaults": {"agg_time_dimension": self.moment},
            "entities": self.entities,
            "dimensions": [_time(self.moment), *self.dimensions],
            "measures": self.measures,
        }


def semantic_models(definition: Definition) -> Document:
    """The document of semantic models and metrics."""
    models = [_rows(definition)]
    for total in _by_one(definition):
        models.append(_groups(definition, total))
        if total.bucket is not None:
            models.append(_buckets(definition, total, total.bucket))
    models += [_days(definition, days) for days in days_of(definition)]
    metrics = [metric for model in models for metric in _simple_metrics(model)]
    return {
        "version": 2,
        "semantic_models": [model.document for model in models],
        "metrics": [*metrics, *_shares(definition)],
    }


def _by_one(definition: Definition) -> Sequence[Total]:
    """The totals by one column: each of their groups is an entity."""
    return [total for total in definition.totals if len(total.by) == 1 and not total.by[0].per_day]


def _rows(definition: Definition) -> _Model:
    key, noun, row_noun = definition.key.column, definition.noun, definition.row_noun
    measures = [_measure(f"{row_noun}s", f"Number of live {row_noun}s.", "sum", "1")]
    measures += [
        _measure(column, _meaning(definition, column), "sum", column)
        for column in _summed(definition)
    ]
    measures += [
        _measure(
            _with(definition, field),
            f"Number of live {row_noun}s that have one. {field.comment}",
            "sum",
            f"CASE WHEN {field.column} IS NULL THEN 0 ELSE 1 END",
        )
        for field in _optional_numbers(definition)
    ]
    columns = [total.by[0].of for total in _by_one(definition) if total.by[0].of != key]
    return _Model(
        name=definition.rows,
        comment=definition.rows_comment,
        moment=moment_of(definition, definition.rows),
        entities=[
            {"name": row_noun, "type": "primary", "expr": f"{key} || chr(31) || id"},
            {"name": noun, "type": "foreign", "expr": key},
            *({"name": column, "type": "foreign", "expr": column} for column in columns),
        ],
        dimensions=[
            dimension
            for field in definition.fields
            if field.column not in columns  # an entity's name is no dimension's
            for dimension in _of_field(field)
        ],
        measures=measures,
    )


def _groups(definition: Definition, total: Total) -> _Model:
    [group] = total.by
    of_key = group.of == definition.key.column
    entity = definition.noun if of_key else group.of
    count = f"{entity}s" if of_key else f"different_{total.name}"
    measures = [
        _measure(count, f"How many there are. {total.comment}", "sum", "1"),
        _measure(
            f"{definition.row_noun}s_per_{entity}",
            f"Average over {total.name}. {total.row_count_comment}",
            "average",
            total.row_count,
        ),
    ]
    bucket = (
        [] if total.bucket is None else [_categorical(total.bucket.column, total.bucket.comment)]
    )
    return _Model(
        name=total.name,
        comment=total.comment,
        moment=moment_of(definition, total.name),
        entities=[{"name": entity, "type": "primary", "expr": group.column}],
        dimensions=bucket,
        measures=measures,
    )


def _buckets(definition: Definition, total: Total, bucket: Bucket) -> _Model:
    [group] = total.by
    noun = definition.noun if group.of == definition.key.column else group.of
    measures = [
        _measure(f"{prefix}{noun}_{each.of}", f"{word} {each.bucket_comment}", agg, each.column)
        for each in total.sums
        if each.per_bucket
        for prefix, word, agg in (
            ("", f"Per {bucket.column} alone.", "sum"),
            ("median_", f"The median, per {bucket.column} alone.", "median"),
            ("largest_", f"The largest, per {bucket.column} alone.", "max"),
        )
    ]
    apart = f"{group.column} || chr(31) || COALESCE({bucket.column}, '')"
    return _Model(
        name=bucket.view,
        comment=bucket.view_comment,
        moment=moment_of(definition, bucket.view),
        entities=[
            {"name": f"{noun}_{bucket.column}", "type": "primary", "expr": apart},
            {"name": noun, "type": "foreign", "expr": group.column},
        ],
        dimensions=[_categorical(bucket.column, bucket.column_comment)],
        measures=measures,
    )


def _days(definition: Definition, days: Days) -> _Model:
    """States at the ends of days: of several days the last one counts, since they are no sum."""
    entities = {total.by[0].of for total in _by_one(definition)}
    apart = "".join(f" || chr(31) || COALESCE({group}, '')" for group in days.groups)
    last = {"name": DAY, "window_choice": "max"}
    return _Model(
        name=days.name,
        comment=days.comment,
        moment=DAY,
        entities=[
            {"name": f"{days.name}_row", "type": "primary", "expr": f"{DAY}::text{apart}"},
            *(
                {"name": group, "type": "foreign", "expr": group}
                for group in days.groups
                if group in entities
            ),
        ],
        dimensions=[
            _categorical(group, comment)
            for group, (_, _, comment) in days.groups.items()
            if group not in entities
        ],
        measures=[
            {
                **_measure(
                    f"{days.name}_{column}", f"At the end of a day. {comment}", "sum", column
                ),
                "non_additive_dimension": last,
            }
            for column, (kind, _, comment) in days.values.items()
            if kind in COUNTED
        ],
    )


def _of_field(field: Field) -> Iterator[Document]:
    if field.kind is Kind.NUMBER:
        if field.optional:
            yield {
                "name": f"has_{field.column}",
                "type": "categorical",
                "description": f"Whether there is one. {field.comment}",
                "expr": f"{field.column} IS NOT NULL",
            }
    elif field.kind is Kind.TIME:
        yield _time(field.column)
    else:
        yield _categorical(field.column, field.comment)


def _time(name: str) -> Document:
    return {"name": name, "type": "time", "type_params": {"time_granularity": "day"}}


def _categorical(name: str, comment: str) -> Document:
    return {"name": name, "type": "categorical", "description": comment}


def _measure(name: str, comment: str, agg: str, expr: str) -> Document:
    return {"name": name, "description": comment, "agg": agg, "expr": expr}


def _summed(definition: Definition) -> Sequence[str]:
    """What the totals add up, each once."""
    return list({each.of: None for total in definition.totals for each in total.sums})


def _meaning(definition: Definition, column: str) -> str:
    product = definition.product_of(column)
    comment = definition.field_of(column).comment if product is None else product.comment
    per_bucket = any(
        each.per_bucket and each.of == column for total in definition.totals for each in total.sums
    )
    apart = " and ".join(bucket.by for bucket in buckets_of(definition))
    return f"{comment} Means something per {apart} alone." if per_bucket else comment


def _simple_metrics(model: _Model) -> Iterator[Document]:
    for measure in model.measures:
        name = measure["name"]
        yield {
            "name": name,
            "label": str(name).replace("_", " ").capitalize(),
            "description": measure["description"],
            "type": "simple",
            "type_params": {"measure": name},
        }


def _shares(definition: Definition) -> Iterator[Document]:
    rows = f"{definition.row_noun}s"
    for field in _optional_numbers(definition):
        yield {
            "name": f"share_with_{field.column}",
            "label": f"Share of {rows} with {field.column}",
            "description": f"Share of the {rows} that have one, 0 to 1. {field.comment}",
            "type": "ratio",
            "type_params": {"numerator": _with(definition, field), "denominator": rows},
        }


def _with(definition: Definition, field: Field) -> str:
    return f"{definition.row_noun}s_with_{field.column}"


def _optional_numbers(definition: Definition) -> Sequence[Field]:
    return [field for field in definition.fields if field.kind is Kind.NUMBER and field.optional]
