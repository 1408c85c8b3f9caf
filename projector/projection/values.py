"""Reads the value of a field: what each kind of value is, and the only place that says so.

A value is the JSON text it had in the document; what comes out is what a column holds (see
`writes.Value`), or why the document is not good.

Exact numbers from their JSON text: never through float, never larger than their text.

Quantities and money have at most 18 digits before and 10 after the point. The digits counted are
those of the value, so that `1.5`, `1.50`, `15e-1` and `1.50000000000000` are all good and one
number: the service may write a number in any of these ways. Exponents are looked at before
anything is written out. A number that is good as it stands keeps its text, trailing zeros
included; only zero loses its sign.
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
from projector.projection.writes import Value

MAX_DIGITS_BEFORE_POINT = 18
MAX_DIGITS_AFTER_POINT = 10
MAX_JSONB_DIGITS = 2_000
"""Before the point, and after it: twice what any double has, and less than readers choke on
(Python makes no whole number of more than 4,300 digits from text)."""

_MAX_EXPONENT_DIGITS = 7

PLAIN_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,10})?")
"""Numbers that need no second look, unless they are negative zero."""

_JSON_NUMBER = re.compile(rb"(-?)(0|[1-9][0-9]*+)(?:\.([0-9]++))?(?:[eE]([+-]?)([0-9]++))?")
_PLAIN_DECIMAL = re.compile(rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?")
_ZERO = re.compile(rb"-[0.]++")


def exact_number(text: bytes) -> bytes | None:
    """The number without exponent, for PostgreSQL's `numeric`; None when it is not good."""
    if PLAIN_NUMBER.fullmatch(text):
        return text[1:] if _ZERO.fullmatch(text) else text
    parts = _JSON_NUMBER.fullmatch(text)
    return _shortest(parts) if parts else None


def exact_decimal_string(text: str) -> bytes | None:
    """The same for a number in a JSON string, which has to be plain: no exponent, no plus."""
    encoded = text.encode()
    return exact_number(encoded) if _PLAIN_DECIMAL.fullmatch(encoded) else None


def written_digits(text: bytes) -> int | None:
    """How many digits `jsonb` makes of this JSON number, which it keeps exactly and writes out.

    None when they are more than are good, or it is no JSON number.
    """
    parts = _JSON_NUMBER.fullmatch(text)
    exponent = _exponent(parts) if parts else None
    if parts is None or exponent is None:
        return None
    _, whole, fraction, _, _ = parts.groups(b"")
    before, after = len(whole) + exponent, len(fraction) - exponent
    if before > MAX_JSONB_DIGITS or after > MAX_JSONB_DIGITS:
        return None
    return max(before, 1) + max(after, 0)


def _shortest(parts: re.Match[bytes]) -> bytes | None:
    sign, whole, fraction, _, _ = parts.groups(b"")
    digits = (whole + fraction).lstrip(b"0")
    significant = digits.rstrip(b"0")
    if not significant:
        return b"0"
    exponent = _exponent(parts)
    if exponent is None:
        return None
    exponent += len(digits) - len(significant) - len(fraction)
    if -exponent > MAX_DIGITS_AFTER_POINT or len(significant) + exponent > MAX_DIGITS_BEFORE_POINT:
        return None
    return sign + _written_out(significant, exponent)


def _exponent(parts: re.Match[bytes]) -> int | None:
    sign, digits = parts[4], (parts[5] or b"").lstrip(b"0")
    if not digits:
        return 0
    if len(digits) > _MAX_EXPONENT_DIGITS:
        return None
    return -int(digits) if sign == b"-" else int(digits)


def _written_out(significant: bytes, exponent: int) -> bytes:
    if exponent >= 0:
        return significant + b"0" * exponent
    padded = significant.rjust(1 - exponent, b"0")
    return padded[:exponent] + b"." + padded[exponent:]


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
