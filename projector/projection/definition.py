"""What a projection is: fields, columns and totals, as one frozen value.

Everything that knows the shape of a row follows from it: decoding and judging documents, the storage
tables, every statement that writes, counts, compares or repairs them, and the views. A second
projection, or one column more, is another value and nothing else. It holds only texts, flags and tuples
of these, so that a file could fill it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from string import Formatter

SYSTEM_FIELDS = ("_rid", "_self", "_etag", "_attachments", "_ts", "_lsn")
"""The service's own properties, which are not kept."""

MARKER = "ttl"
"""The field that bears the soft-delete marker."""

RESERVED_COLUMNS = frozenset({
    "bucket", "changed_at", "deleted", "epk", "etag", "extra", "id", "key", "last_changed_at", "left_at",
    "lineage", "lives", "lsn", "rejected", "same", "stays", "tombstone_tick", "ts", "was",
})  # fmt: skip
"""Names that tables and statements use for themselves, as they do those that begin like these."""

RESERVED_PREFIXES = ("p_", "o_", "n_", "of_")

CONTROL_TABLES = (
    "ranges", "replays", "replay_seen", "replay_candidates", "quarantine", "range_reports",
    "fill_parts",
)  # fmt: skip
"""Tables that stand beside those of the definition, in one schema with them."""

_KEPT_COLUMNS = frozenset({"bucket", "first_changed_at", "last_changed_at", "left_at", "stored_at"})
"""Names that every table of a total uses for itself."""

_SQL_NAME = re.compile(r"[a-z][a-z0-9_]{0,29}")
_CAPITAL = re.compile(r"(?<=[a-z0-9])([A-Z])")


class Kind(StrEnum):
    """What the value of a field is."""

    TEXT = "text"
    """A string of 1 to 1,024 bytes."""

    CODE = "code"
    """A string that matches the field's pattern."""

    NUMBER = "number"
    """An exact number of at most 18 digits before and 10 after the point."""

    TIME = "time"
    """A time in RFC 3339 with an offset, kept to the microsecond."""

    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of the document, and the column it fills.

    Attributes:
        name: in the document, at its top level.
        optional: it may be absent or null; its column is NULL then.
        quoted: a number may also come as a string that holds a plain decimal.
        pattern: of a code; the whole text has to match.
        told: what a code is, for the operator: "three capital letters".
    """

    name: str
    column: str
    kind: Kind
    comment: str
    optional: bool = False
    quoted: bool = False
    pattern: str = ""
    told: str = ""

    @property
    def reason(self) -> str:
        """Why a document is rejected whose field is not good: `bad_cart_id` for `cartId`."""
        return "bad_" + _CAPITAL.sub(r"_\1", self.name).lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A column of the view alone: two number columns multiplied, unrounded; NULL when one is."""

    column: str
    factors: tuple[str, str]
    comment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What a total is by: a column, or the day (UTC) of a time column.

    Attributes:
        column: of the total; `of`: of the rows.
        per_day: the days of a time column, and not its moments.
    """

    column: str
    of: str
    comment: str
    per_day: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """A sum over the live rows of a group; rows without a value add nothing.

    Attributes:
        of: a number column or a product.
        per_bucket: it means something within one bucket only.
        bucket_comment: of its column in the view of buckets.
    """

    column: str
    of: str
    comment: str
    per_bucket: bool = False
    bucket_comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Tells the rows of a group apart that must not be added up, such as prices in two currencies.

    Rows without `of` are in no bucket. A bucket whose `by` is NULL is one of its own, shown as NULL.

    Attributes:
        view: one row per group and bucket, with its sums `per_bucket`.
        column: `by`, as the views name it.
        row_count: how the view names the number of its rows.
        comment: of the column in the view of whole groups, where it is NULL unless there is one bucket.
        per_day: the view of what was in each bucket at the end of each day; "": none.
    """

    by: str
    of: str
    view: str
    view_comment: str
    column: str
    comment: str
    column_comment: str
    row_count: str
    row_count_comment: str
    per_day: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """Counts and sums over the live rows of each group, kept exact with every batch.

    Attributes:
        name: of the storage table and of its view.
        row_count: the column that counts live rows.
        keeps_last_change: `last_changed_at` of the group is kept (and its first one looked up).
        per_day: the view of the state at the end of each day, keys together; "": none.
    """

    name: str
    comment: str
    by: tuple[Group, ...]
    row_count: str
    row_count_comment: str
    sums: tuple[Sum, ...] = ()
    bucket: Bucket | None = None
    keeps_last_change: bool = False
    per_day: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What happened to the rows, kept: the log of it, and what is told from it.

    Attributes:
        events: the log, and its view.
        abandoned: the view of keys without a change for long, told from the total that keeps its last change.
        touched: the column that tells the row that was changed last, there shown as `touched_as`.
    """

    events: str
    abandoned: str
    touched: str
    touched_as: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A projection of one container.

    Attributes:
        name: how the target remembers it.
        container: the usual name of the source container.
        schema: of the views.
        rows: the storage table of rows and their view.
        key: the field that the container is partitioned on, a text.
        fields: all others with a column, in the order of the view.
        noun, row_noun: what a key and a row are called: "cart" and "line".
        row_text: tells a row in one line; a part goes where a column in braces has no value.
        history: what is kept of the past; None: nothing.
    """

    name: str
    container: str
    schema: str
    rows: str
    rows_comment: str
    noun: str
    row_noun: str
    key: Field
    id_comment: str
    fields: tuple[Field, ...]
    products: tuple[Product, ...] = ()
    totals: tuple[Total, ...] = ()
    row_text: tuple[str, ...] = ()
    history: History | None = None

    def __post_init__(self) -> None:
        """Refuse what no table can be made of.

        Raises:
            ValueError: one line says what is wrong.
        """
        for problem in _problems(self):
            raise ValueError(f"projection {self.name!r}: {problem}")

    @property
    def key_path(self) -> str:
        """The partition key path of the container."""
        return f"/{self.key.name}"

    @property
    def field_names(self) -> tuple[str, ...]:
        """The fields of a document that are no extra ones."""
        return ("id", self.key.name, *(each.name for each in self.fields))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that hold values of the document, without the key."""
        return tuple(each.column for each in self.fields)

    @property
    def reader_role(self) -> str:
        """May read the views and nothing else."""
        return f"{self.schema}_reader"

    def field_of(self, column: str) -> Field:
        """The field behind a column; raises KeyError for a product."""
        return {each.column: each for each in (self.key, *self.fields)}[column]

    def product_of(self, column: str) -> Product | None:
        """The product of that name, if it is one."""
        return next((each for each in self.products if each.column == column), None)

    def told(self, values: Mapping[str, str | None]) -> str:
        """A row in one line; `values` by column, as the database prints them."""
        there = {column for column, value in values.items() if value is not None}
        if self.row_text:
            told = (part for part in self.row_text if there.issuperset(_named(part)))
            return "".join(told).format_map(values).strip()
        return ", ".join(
            f"{each.name} {values[each.column]}" for each in self.fields if each.column in there
        )

    def is_nullable(self, column: str) -> bool:
        """Whether a live row may have no value there."""
        product = self.product_of(column)
        if product is not None:
            return any(map(self.is_nullable, product.factors))
        return self.field_of(column).optional


def _named(part: str) -> Iterator[str]:
    """The columns that a part of a text names."""
    return (name for _, name, _, _ in Formatter().parse(part) if name is not None)


def _problems(given: Definition) -> Iterator[str]:
    """What is wrong, the worst first."""
    fields = (given.key, *given.fields)
    names = [each.name for each in fields]
    columns = [each.column for each in fields] + [each.column for each in given.products]
    yield from _bad_names(given, names, columns)
    if given.key.kind is not Kind.TEXT or given.key.optional:
        yield "the key has to be a text that is always there"
    for field in fields:
        if (field.kind is Kind.CODE) != bool(field.pattern):
            yield f"a pattern belongs to codes, and to nothing else: {field.name}"
        if field.quoted and field.kind is not Kind.NUMBER:
            yield f"only numbers may come quoted: {field.name}"
    yield from _problems_of_what_follows(given)


def _problems_of_what_follows(given: Definition) -> Iterator[str]:
    numbers = {each.column for each in given.fields if each.kind is Kind.NUMBER}
    for product in given.products:
        if not set(product.factors) <= numbers:
            yield f"{product.column} multiplies what is no number column"
    for total in given.totals:
        yield from _problems_of_total(given, total, numbers)
    if given.history is not None:
        yield from _problems_of_history(given, given.history)
    if {name for part in given.row_text for name in _named(part)} - set(given.columns):
        yield "the text of a row names what is no column"


def _bad_names(given: Definition, names: list[str], columns: list[str]) -> Iterator[str]:
    if len(set(names)) < len(names) or set(names) & {"id", MARKER, *SYSTEM_FIELDS}:
        yield "a field is named twice, or as one of the service's own"
    if len(set(columns)) < len(columns):
        yield "a column is named twice"
    views = [each.bucket.view for each in given.totals if each.bucket is not None]
    tables = [given.rows, "freshness", *(each.name for each in given.totals), *views]
    tables += _names_of_the_past(given)
    yield from _bad_tables(tables)
    for name in (given.schema, given.noun, given.row_noun, *tables, *columns):
        if not _SQL_NAME.fullmatch(name):
            yield f"{name!r} is no plain lower-case SQL name"
    for column in columns:
        if column in RESERVED_COLUMNS or column.startswith(RESERVED_PREFIXES):
            yield f"the column name {column!r} is taken by the storage itself"


def _bad_tables(tables: list[str]) -> Iterator[str]:
    if len(set(tables)) < len(tables):
        yield "a table is named twice"
    for name in tables:
        if any(name == taken or name.startswith(f"{taken}_") for taken in CONTROL_TABLES):
            yield f"the table name {name!r} is taken by the storage itself"


def _names_of_the_past(given: Definition) -> Iterator[str]:
    if given.history is None:
        return
    yield from ("history", given.history.events, given.history.abandoned)
    for total in given.totals:
        yield from filter(None, (total.per_day, total.bucket.per_day if total.bucket else ""))


def _problems_of_history(given: Definition, history: History) -> Iterator[str]:
    if history.touched not in given.columns:
        yield "what was touched last is told by what is no column"
    if not _SQL_NAME.fullmatch(history.touched_as):
        yield f"{history.touched_as!r} is no plain lower-case SQL name"


def _problems_of_total(given: Definition, total: Total, numbers: set[str]) -> Iterator[str]:
    known = {given.key.column, *given.columns}
    times = {each.column for each in given.fields if each.kind is Kind.TIME}
    if not total.by or {group.of for group in total.by} - known:
        yield f"{total.name} is by what is no column"
    if any(group.per_day and group.of not in times for group in total.by):
        yield f"{total.name} is by the day of what is no time"
    summed = numbers | {each.column for each in given.products}
    if {each.of for each in total.sums} - summed:
        yield f"{total.name} sums up what is no number"
    bucket = total.bucket
    if bucket is None and any(each.per_bucket for each in total.sums):
        yield f"{total.name} has sums per bucket, and no buckets"
    if bucket is not None and {bucket.by, bucket.of} - set(given.columns):
        yield f"{total.name} has buckets by what is no column"
    yield from _problems_of_storage(given, total)


def _problems_of_storage(given: Definition, total: Total) -> Iterator[str]:
    """What a table cannot hold: a group without a value, and a bucket, need a value that is free."""
    bucket = total.bucket
    for group in total.by:
        field = given.field_of(group.of)
        if field.optional and field.kind is Kind.BOOLEAN:
            yield f"{total.name} is by a boolean that may be absent"
    if total.keeps_last_change and total.by[0].of != given.key.column:
        yield f"{total.name} keeps its last change, and is not by the key first"
    if bucket is not None:
        pattern = given.field_of(bucket.by).pattern
        if not pattern or any(re.fullmatch(pattern, taken) for taken in ("", "-")):
            yield f"{total.name} has buckets by what is no code, or a code that may be '-'"
    yield from _bad_columns(total)


def _bad_columns(total: Total) -> Iterator[str]:
    bucket = total.bucket
    groups = [group.column for group in total.by]
    columns = [total.row_count, *groups, *(each.column for each in total.sums)]
    if bucket is not None:
        columns += [bucket.column, bucket.row_count]
    if len(set(columns)) < len(columns) or set(columns) & _KEPT_COLUMNS:
        yield f"{total.name} has a column twice, or one of the storage's own"
    for column in columns:
        if not _SQL_NAME.fullmatch(column):
            yield f"{column!r} is no plain lower-case SQL name"
