"""The fast lane: a page of ordinary documents becomes rows column by column.

A check of a thousand values at once costs a fraction of a thousand checks, and nearly all pages
pass. Each check here accepts only what the rules in `document` accept without a second look; a page
with anything else is refused as a whole and taken document by document.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import repeat
from operator import attrgetter
from typing import Any

from msgspec import UNSET, Raw, UnsetType

from projector.core.epk import routing_key_of_text
from projector.projection.definition import Definition, Field, Kind
from projector.projection.shapes import (
    ABSENT,
    PlainDocument,
    PlainPage,
    SureDocument,
    value_attribute,
)
from projector.projection.values import matcher, text_of_time
from projector.projection.writes import RowWrite, Value

_DIGITS = b"0123456789."
_SURE_DIGITS = 12  # at most ten of them behind the point
_holds_escaped_nul = re.compile(rb"\\u0000").search
_NESTED_OR_ESCAPED = re.compile(rb"[\\\[{]")
_lsn_of = attrgetter("lsn")
_HIGHEST_TTL = 10**18
_LIVE = False  # of `deleted`


class FastLane:
    """The fast lane of one projection."""

    def __init__(self, definition: Definition) -> None:
        """Read the columns of that definition."""
        self._columns = [
            (field, attrgetter(value_attribute(number)), _COLUMNS[field.kind])
            for number, field in enumerate(definition.fields)
        ]

    def writes(
        self, body: bytes, page: PlainPage, *, lsn: int | None = None
    ) -> list[RowWrite] | None:
        """One write per document, in feed order; None when a document needs a look of its own.

        `lsn` is that of all of them, whatever they bear; None: each bears its own.
        """
        documents = page.sure_documents
        if not documents or _holds_escaped_nul(body):
            return None
        lsns = [lsn] * len(documents) if lsn is not None else list(map(_lsn_of, documents))
        if None in lsns:
            return None
        columns: list[Sequence[Value]] = []
        for field, read, column_of in self._columns:
            values = column_of(field, list(map(read, documents)))
            if values is None:
                return None
            columns.append(values)
        extras = _extras(page, documents)
        return None if extras is None else _writes(documents, lsns, columns, extras)


def tombstone_of(document: PlainDocument, epk: int, lsn: int) -> RowWrite | None:
    """The tombstone of a document that bears the marker; None when its `ttl` is not surely one."""
    if type(document.ttl) is not int or not 0 < document.ttl < _HIGHEST_TTL:
        return None
    return RowWrite(document.key, document.id, epk, lsn, document.ts, document.etag, deleted=True)


def _writes(
    documents: Sequence[SureDocument],
    lsns: Sequence[Any],
    columns: Sequence[Sequence[Value]],
    extras: Sequence[Raw | None],
) -> list[RowWrite] | None:
    places: dict[str, tuple[str, int]] = {}  # equal keys of a page are kept once
    writes = []
    rows = zip(*columns, strict=True) if columns else repeat(())
    for document, lsn, values, extra in zip(documents, lsns, rows, extras, strict=False):
        place = places.get(document.key)
        if place is None:
            key = document.key
            place = places[key] = (key, routing_key_of_text(key.encode()))
        key, epk = place
        if document.ttl is UNSET:
            write = RowWrite(
                key,
                document.id,
                epk,
                lsn,
                document.ts,
                document.etag,
                _LIVE,
                values,
                extra,
            )
        else:
            gone = tombstone_of(document, epk, lsn)
            if gone is None:
                return None
            write = gone
        writes.append(write)
    return writes


def _shared(texts: Sequence[Any]) -> Sequence[Any]:
    """The same texts; equal ones of a page are kept once."""
    known = dict(zip(texts, texts, strict=True))
    return list(map(known.__getitem__, texts))


def _texts(_field: Field, values: Sequence[Any]) -> Sequence[Value] | None:
    return _shared(values)


def _codes(field: Field, values: Sequence[Any]) -> Sequence[Value] | None:
    is_one = matcher(field.pattern)
    if all(value is None or is_one(value) for value in set(values)):
        return _shared(values)
    return None


def _numbers(field: Field, values: Sequence[Raw]) -> Sequence[Value] | None:
    if not _are_numbers(values) or not (field.optional or all(values)):
        return None
    # Copied, or each would keep the whole page.
    return [value.copy() if value else None for value in values]


def _times(_field: Field, values: Sequence[datetime | None]) -> Sequence[Value] | None:
    texts = [None if value is None else text_of_time(value) for value in values]
    return None if texts.count(None) > values.count(None) else texts


def _booleans(_field: Field, values: Sequence[bool | None]) -> Sequence[Value] | None:
    return values


_COLUMNS: Mapping[Kind, Callable[[Field, Sequence[Any]], Sequence[Value] | None]] = {
    Kind.TEXT: _texts,
    Kind.CODE: _codes,
    Kind.NUMBER: _numbers,
    Kind.TIME: _times,
    Kind.BOOLEAN: _booleans,
}


def _are_numbers(values: Sequence[Raw]) -> bool:
    """Whether all of them, JSON values or nothing, are short numbers without sign and exponent."""
    return max(map(len, values)) <= _SURE_DIGITS and not b"".join(values).translate(None, _DIGITS)


def _extras(page: PlainPage, documents: Sequence[SureDocument]) -> list[Raw | None] | None:
    """The other fields of each document as one JSON object."""
    if not page.other_fields:
        return [None] * len(documents)
    if len(page.other_fields) > 1:
        return _unless_unsure(map(page.extras, documents))
    (field,) = page.other_fields
    values = list(map(field.read, documents))
    if not _are_plain_texts(values):
        return None
    head = field.head
    return [Raw(b"{%b%b}" % (head, value)) if value else None for value in values]


def _unless_unsure(extras: Iterable[Raw | UnsetType | None]) -> list[Raw | None] | None:
    found: list[Raw | None] = []
    for extra in extras:
        if isinstance(extra, UnsetType):
            return None
        found.append(extra)
    return found


def _are_plain_texts(values: Sequence[Raw]) -> bool:
    """Whether all of them, JSON values or nothing, are texts without escapes."""
    joined, found = b"".join(values), len(values) - values.count(ABSENT)
    return joined.count(b'"') == 2 * found and not _NESTED_OR_ESCAPED.search(joined)
