"""A generation: a projection's definition and the schema that holds it, filled.

What the columns of a total are made of, as SQL: said once for batches, triggers, views and recounts.

A `prefix` is put straight before each column's name: "" or "t.", "new.", "t.p_". A group without a value
is a group of its own. A primary key takes no NULL, so it is stored as a value that no row can have, and
shown as NULL. So it is with buckets, which are codes: '' holds the rows that are in none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from typing_extensions import override

from projector.projection.carts import CARTS
from projector.projection.definition import Bucket, Definition, Field, Group, Kind, Total

FIRST_CONTROL = "projector"
"""Where the control tables of the first generation stand, beside what all generations share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """The tables of one filling of a definition.

    Attributes:
        id: as the registry counts them.
        schema: holds the rows and totals, and nothing of others.
        control: the schema of its positions, replays, quarantine and reports: the same one, but for
            the first generation. Statements do not name it; the sessions that make them look there.
    """

    definition: Definition
    schema: str
    control: str = FIRST_CONTROL
    id: int = 1

    @override
    def __hash__(self) -> int:
        """What statements are kept by; the whole definition would be hashed for each batch."""
        return hash((self.definition.name, self.schema))

    @property
    def rows(self) -> str:
        """The qualified name of the table of rows."""
        return f"{self.schema}.{self.definition.rows}"

    def table(self, name: str) -> str:
        """The qualified name of one of its tables."""
        return f"{self.schema}.{name}"


FIRST_GENERATION = Generation(definition=CARTS, schema="projector_g1")


SQL_TYPES = {
    Kind.TEXT: "text",
    Kind.CODE: "text",
    Kind.NUMBER: "numeric",
    Kind.TIME: "timestamptz",
    Kind.BOOLEAN: "boolean",
}
BUCKET = "bucket"
_NO_VALUE = {Kind.TEXT: "''", Kind.CODE: "''", Kind.NUMBER: "'NaN'", Kind.TIME: "'-infinity'"}
_IN_NO_BUCKET, _WITHOUT_NAME = "''", "'-'"


def quoted(text: str) -> str:
    """The text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def sql_type(field: Field) -> str:
    """The type of the field's column."""
    return SQL_TYPES[field.kind]


def group_type(definition: Definition, group: Group) -> str:
    """The type of a group's column."""
    return "date" if group.per_day else sql_type(definition.field_of(group.of))


def value_of(definition: Definition, column: str, prefix: str = "") -> str:
    """What a sum adds up: a column, or two that are multiplied."""
    product = definition.product_of(column)
    factors = (column,) if product is None else product.factors
    return " * ".join(f"{prefix}{factor}" for factor in factors)


def group_of(definition: Definition, group: Group, prefix: str = "") -> str:
    """The group of a row, as it is stored."""
    field = definition.field_of(group.of)
    value = f"{prefix}{group.of}"
    if group.per_day:
        value = f"({value} AT TIME ZONE 'UTC')::date"
    return f"COALESCE({value}, {_NO_VALUE[field.kind]})" if field.optional else value


def shown_group(definition: Definition, group: Group, prefix: str = "") -> str:
    """The stored group as people see it."""
    field = definition.field_of(group.of)
    value = f"{prefix}{group.column}"
    return f"NULLIF({value}, {_NO_VALUE[field.kind]})" if field.optional else value


def bucket_of(bucket: Bucket, prefix: str = "") -> str:
    """The bucket of a row, as it is stored."""
    named = f"COALESCE({prefix}{bucket.by}, {_WITHOUT_NAME})"
    return f"CASE WHEN {prefix}{bucket.of} IS NULL THEN {_IN_NO_BUCKET} ELSE {named} END"


def keys_of(definition: Definition, total: Total, prefix: str = "") -> Sequence[tuple[str, str]]:
    """The columns of a total's primary key, each with what it is for a row."""
    keys = [(group.column, group_of(definition, group, prefix)) for group in total.by]
    if total.bucket is not None:
        keys.append((BUCKET, bucket_of(total.bucket, prefix)))
    return keys


def key_columns(total: Total) -> Sequence[str]:
    """The columns of a total's primary key."""
    groups = [group.column for group in total.by]
    return groups if total.bucket is None else [*groups, BUCKET]


def previous_columns(definition: Definition) -> Sequence[str]:
    """Columns whose former value totals need, in the order of the definition; the key never changes."""
    needed = {name for total in definition.totals for name in _needed(definition, total)}
    return [column for column in definition.columns if column in needed]


def keeps_last_change(definition: Definition) -> bool:
    """Whether a total needs the former time of a row as well."""
    return any(total.keeps_last_change for total in definition.totals)


def _needed(definition: Definition, total: Total) -> Iterator[str]:
    for group in total.by:
        yield group.of
    for each in total.sums:
        product = definition.product_of(each.of)
        yield from (each.of,) if product is None else product.factors
    if total.bucket is not None:
        yield from (total.bucket.by, total.bucket.of)
