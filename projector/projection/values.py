"""Reads the value of a field: what each kind of value is, and the only place that says so.

A value is the JSON text it had in the document; what comes out is what a column holds (see
`writes.Value`), or why the document is not good.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated

import msgspec

from projector.projection.definition import Field, Kind
from projector.projection.fields import NOT_DECODED, Problem, decoded_text, kind_of
from projector.projection.identity import read_text
from projector.projection.numbers import exact_decimal_string, exact_number
from projector.projection.writes import Value

_NULL = b"null"
_SHOWN_BYTES = 40
_TIME = msgspec.json.Decoder(Annotated[datetime, msgspec.Meta(tz=True)])


def read_value(field: Field, value: bytes | None) -> Value | Problem:
    """The value of a field, None where it has none; a problem when it is not good."""
    if field.optional and (value is None or value == _NULL):
        return None
    if field.kind is Kind.TEXT:
        return read_text(field.name, value, field.reason)
    if value is None:
        return Problem(field.reason, f"{field.name} is missing")
    found = _READERS[field.kind](field, value)
    if found is None:
        detail = f"{field.name} is {_shown(value)}, not {_expected(field)}"
        return Problem(field.reason, detail)
    return found


def text_of_time(moment: datetime) -> str | None:
    """A time as its column is given it; None at the edges of the calendar."""
    try:
        return moment.astimezone(UTC).isoformat()
    except OverflowError:
        return None


@lru_cache(maxsize=64)
def matcher(pattern: str) -> Callable[[str], object]:
    """What tells whether a whole text is the code that is meant."""
    return re.compile(pattern).fullmatch


def _number(field: Field, value: bytes) -> Value:
    text = decoded_text(value) if field.quoted else None
    number = exact_number(value) if text is None else exact_decimal_string(text)
    return None if number is None else msgspec.Raw(number)


def _code(field: Field, value: bytes) -> Value:
    text = decoded_text(value)
    return text if text is not None and matcher(field.pattern)(text) else None


def _time(_field: Field, value: bytes) -> Value:
    try:
        return text_of_time(_TIME.decode(value))
    except NOT_DECODED:
        return None


def _boolean(_field: Field, value: bytes) -> Value:
    return {b"true": True, b"false": False}.get(value)


_READERS: Mapping[Kind, Callable[[Field, bytes], Value]] = {
    Kind.NUMBER: _number,
    Kind.CODE: _code,
    Kind.TIME: _time,
    Kind.BOOLEAN: _boolean,
}


def _expected(field: Field) -> str:
    if field.kind is Kind.NUMBER:
        number = "a number or plain decimal" if field.quoted else "a number"
        return f"{number} of at most 18+10 digits"
    told = {Kind.TIME: "a time such as 2026-11-26T08:15:00Z", Kind.BOOLEAN: "true or false"}
    return told.get(field.kind, field.told)


def _shown(value: bytes) -> str:
    """A value as an operator may see it: short and on one line."""
    text = " ".join(value[:_SHOWN_BYTES].decode("utf-8", "replace").split())
    return f"{kind_of(value)} ({text}{'...' if len(value) > _SHOWN_BYTES else ''})"
