"""The fields of a document that the definition does not name, kept as one JSON object.

They are kept exactly as they came: no number goes through float, null stays null, `ttl` is one of
them unless it is the soft-delete marker. The service's own properties are not kept. What `jsonb`
would refuse is found here: NUL in a text, nesting beyond the service's own limit.

So is what it would take and nobody could live with. It writes numbers out, so that a few bytes become
more than a row can be read with; numbers and the whole are bounded as they are written out. And it
sorts the names of an object by a method that is quadratic for an order made for it, and that nothing
interrupts; so the names of a large object are sent in the order that it sorts them into.
Source: PostgreSQL, `jsonb_util.c` (names by length, then bytes) and `sort_template.h` (what is in order
already takes one pass).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set

import msgspec

from projector.projection.fields import MAX_DEPTH, Problem, too_deep
from projector.projection.values import MAX_JSONB_DIGITS, written_digits
from projector.projection.writes import RejectionReason

MAX_EXTRA_BYTES = 16 * 1024 * 1024
"""Of the whole, numbers written out: eight times what the service takes for a document."""

FEW_NAMES = 500
"""An object of so many takes the server less than a millisecond, in the worst order of its names: it
needs 2 ns for each pair of them (measured; so 16 s for 90,000 names, 0.1 s when they are in order)."""

_SHORT = 2 * MAX_DEPTH
_HARMLESS = re.compile(rb'"[^"\\]*+"|-?[0-9]{1,18}|true|false|null')
_SUSPICIOUS = re.compile(rb"\\u0000|[0-9][eE][+-]?[0-9]{4}")
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_LONG_NUMBER = re.compile(rb"-?[0-9][0-9.]*+(?:[eE][-+0-9]++|(?<=[-0-9.]{%d}))" % MAX_JSONB_DIGITS)
_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_EXPONENT = re.compile(rb"[0-9][eE]")
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_NUL = re.compile(rb"(?:[^\\]|^)(?:\\\\)*+\\u0000")


def harmless(value: bytes) -> bool:
    """Whether one look is enough to know that `jsonb` takes this value; most are like that."""
    if _HARMLESS.fullmatch(value):
        return True
    return len(value) < _SHORT and not _SUSPICIOUS.search(value)


def extra_of(values: Mapping[str, bytes], known: Set[str]) -> msgspec.Raw | Problem | None:
    """The object of the fields not `known`, None when there are none; a problem when it is not good."""
    extra = {name: value for name, value in values.items() if name not in known}
    size = 0
    for name, value in extra.items():
        found = _written_bytes(name, value)
        if isinstance(found, Problem):
            return found
        size += len(name) + found
    if size > MAX_EXTRA_BYTES:
        detail = f"the other fields have {size:,} bytes with their numbers written out, more than"
        return Problem(RejectionReason.TOO_LARGE, f"{detail} {MAX_EXTRA_BYTES:,}")
    return msgspec.Raw(_encoded(extra)) if extra else None


def _written_bytes(name: str, value: bytes) -> int | Problem:
    """The length of a value with its numbers written out."""
    shown = f"field {name[:60]!a}"
    if "\0" in name:
        return Problem(RejectionReason.BAD_TEXT, f"the name of {shown} holds NUL")
    if harmless(value) and not _EXPONENT.search(value):
        return len(value)
    if b"\\u0000" in value and any(map(_NUL.search, _STRING.findall(value))):
        return Problem(RejectionReason.BAD_TEXT, f"{shown} holds NUL")
    bare = _STRING.sub(b"", value)
    if _height(bare) >= MAX_DEPTH:  # the document itself is one level more
        return Problem(RejectionReason.UNDECODABLE, too_deep(shown))
    size = len(value)
    for number in _LONG_NUMBER.findall(bare):
        digits = written_digits(number)
        if digits is None:
            detail = f"a number of more than {MAX_JSONB_DIGITS:,} digits before or after the point"
            return Problem(RejectionReason.TOO_LARGE, f"{shown} holds {detail}")
        size += max(0, digits - len(number))
    return size


def _height(bare: bytes) -> int:
    """Levels of nesting of a value without its strings, or one more than are good."""
    brackets = bare.translate(_SQUARE, _NO_BRACKETS)
    for height in range(MAX_DEPTH + 1):
        if not brackets:
            return height
        brackets = brackets.replace(b"[]", b"")
    return MAX_DEPTH + 1


def _encoded(members: Mapping[str, bytes | msgspec.Raw]) -> bytes:
    """An object whose names are in the server's order, if they are many."""
    names = sorted(members, key=_place) if len(members) > FEW_NAMES else members
    return msgspec.json.encode(
        {name: msgspec.Raw(_in_order(bytes(members[name]))) for name in names}
    )


def _in_order(value: bytes) -> bytes:
    """The same value, with the names of large objects in the server's order."""
    if value.count(b":") <= FEW_NAMES:
        return value
    if value[:1] == b"{":
        return _encoded(_OBJECT.decode(value))
    if value[:1] == b"[":
        return msgspec.json.encode(
            [msgspec.Raw(_in_order(bytes(one))) for one in _ARRAY.decode(value)]
        )
    return value


def _place(name: str) -> tuple[int, bytes]:
    encoded = name.encode()
    return len(encoded), encoded
