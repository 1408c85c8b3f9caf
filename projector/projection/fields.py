"""Reads the members of one document: from sound JSON, or from whatever can be made out of it.

A document that does not decode still has members, as a rule: they are cut out one by one, so that
it can be told whose it is, which version, and whether it bears the soft-delete marker.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from projector.projection.scan import last_member, members_of
from projector.projection.writes import RejectionReason

NOT_DECODED = (msgspec.MsgspecError, ValueError, RecursionError)
"""What the decoder raises on bytes that are no JSON, no UTF-8, or nested without end."""

MAX_DEPTH = 128
"""Levels of nesting; the service's own limit."""

_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ANYTHING = msgspec.json.Decoder(float_hook=str.encode)
_TEXT = msgspec.json.Decoder(str)
_KINDS: Mapping[bytes, str] = {
    b'"': "a string",
    b"{": "an object",
    b"[": "an array",
    b"n": "null",
    b"t": "a boolean",
    b"f": "a boolean",
}


class Problem(NamedTuple):
    """Why a document is not good: for the program and for the operator."""

    reason: str
    detail: str


class Fields(msgspec.Struct, frozen=True, kw_only=True):
    """The members of a document, each value the JSON text it had; the last of a name wins.

    Attributes:
        problem: set when the document as a whole did not decode.
        complete: no member is missing; if not, an absent one may have been there.
    """

    values: dict[str, bytes]
    problem: Problem | None = None
    complete: bool = True


def read_fields(raw: bytes) -> Fields:
    """Read the members of a document, sound or not; nothing makes it fail."""
    try:
        if not raw.isascii():
            raw.decode()
        found = _OBJECT.decode(raw)
        return Fields(values=dict(zip(found, map(bytes, found.values()), strict=True)))
    except NOT_DECODED as error:
        problem = _problem_of(raw, error)
    members = members_of(raw)
    values = {
        name: value
        for key, value in members.values.items()
        if (name := decoded_text(key)) is not None
    }
    if not members.complete:  # the service's own properties stand at the end: the last are its own
        for name in ("_lsn", "_ts", "_etag"):
            value = last_member(raw, name.encode())
            if value is not None:
                values[name] = value
    return Fields(values=values, problem=problem, complete=members.complete)


def decoded_text(value: bytes) -> str | None:
    """The text of a JSON string; None when it is none, or holds what is no Unicode text."""
    try:
        return _TEXT.decode(value)
    except NOT_DECODED:
        return None


def kind_of(value: bytes) -> str:
    """What a JSON value is, in words."""
    return _KINDS.get(value[:1], "a number")


def _problem_of(raw: bytes, error: BaseException) -> Problem:
    if isinstance(error, RecursionError):
        return Problem(RejectionReason.UNDECODABLE, too_deep("the document"))
    if isinstance(error, UnicodeDecodeError):
        return Problem(RejectionReason.UNDECODABLE, "the document is not valid UTF-8")
    mended = _ESCAPE.sub(lambda found: rb"\ufffd" if found[1] else found[0], raw)
    try:
        decoded: Any = _ANYTHING.decode(mended)
    except NOT_DECODED as still:
        return Problem(RejectionReason.UNDECODABLE, f"the document is no JSON: {still}")
    if isinstance(decoded, dict):
        return Problem(RejectionReason.BAD_TEXT, "the document holds a lone surrogate")
    return Problem(
        RejectionReason.NOT_AN_OBJECT, f"the document is {kind_of(raw.lstrip())}, not an object"
    )


def too_deep(name: str) -> str:
    """The sentence for what is nested too deeply."""
    return f"{name} is nested deeper than {MAX_DEPTH} levels"
