"""Exact numbers from their JSON text: never through float, never larger than their text.

Quantities and money have at most 18 digits before and 10 after the point. The digits counted are
those of the value, so that `1.5`, `1.50`, `15e-1` and `1.50000000000000` are all good and one
number: the service may write a number in any of these ways. Exponents are looked at before
anything is written out. A number that is good as it stands keeps its text, trailing zeros
included; only zero loses its sign.
"""

from __future__ import annotations

import re

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
