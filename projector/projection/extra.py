"""The fields of a document that the carts' contract does not name, kept as one JSON object.

They are kept exactly as they came: no number goes through float, null stays null, `ttl` is one of
them unless it is the soft-delete marker. The service's own properties are not kept. What `jsonb`
would refuse is found here: NUL in a text, a number beyond `numeric`, nesting beyond the service's
own limit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from projector.projection.fields import MAX_DEPTH, Problem, too_deep
from projector.projection.numbers import fits_jsonb
from projector.projection.writes import RejectionReason

LINE_FIELDS = ("id", "cartId", "item", "quantity", "price", "currency")
SYSTEM_FIELDS = ("_rid", "_self", "_etag", "_attachments", "_ts", "_lsn")

_NOT_EXTRA = frozenset((*LINE_FIELDS, *SYSTEM_FIELDS))
_SHORT = 2 * MAX_DEPTH
_HARMLESS = re.compile(rb'"[^"\\]*+"|-?[0-9]{1,18}|true|false|null')
_SUSPICIOUS = re.compile(rb"\\u0000|[0-9][eE][+-]?[0-9]{4}")
_TOKEN = re.compile(
    rb'("[^"\\]*+(?:\\.[^"\\]*+)*+")|([\[{])|([\]}])|(-?[0-9][0-9.eE+-]*+)', re.DOTALL
)
_NUL = re.compile(rb"(?:[^\\]|^)(?:\\\\)*+\\u0000")


def harmless(value: bytes) -> bool:
    """Whether one look is enough to know that `jsonb` takes this value; most are like that."""
    if _HARMLESS.fullmatch(value):
        return True
    return len(value) < _SHORT and not _SUSPICIOUS.search(value)


def extra_of(values: Mapping[str, bytes]) -> msgspec.Raw | Problem | None:
    """The object of all other fields, None when there are none; a problem when it is not good."""
    extra = {name: value for name, value in values.items() if name not in _NOT_EXTRA}
    for name, value in extra.items():
        problem = _problem_of(name, value)
        if problem is not None:
            return problem
    if not extra:
        return None
    return msgspec.Raw(msgspec.json.encode({k: msgspec.Raw(v) for k, v in extra.items()}))


def _problem_of(name: str, value: bytes) -> Problem | None:
    shown = f"field {name[:60]!a}"
    if "\0" in name:
        return Problem(RejectionReason.BAD_TEXT, f"the name of {shown} holds NUL")
    if harmless(value):
        return None
    depth = 1  # the document itself
    for text, opener, closer, number in _TOKEN.findall(value):
        depth += bool(opener) - bool(closer)
        if depth > MAX_DEPTH:
            return Problem(RejectionReason.UNDECODABLE, too_deep(shown))
        if text and _NUL.search(text):
            return Problem(RejectionReason.BAD_TEXT, f"{shown} holds NUL")
        if number and not fits_jsonb(number):
            return Problem(RejectionReason.UNDECODABLE, f"{shown} holds a number beyond numeric")
    return None
