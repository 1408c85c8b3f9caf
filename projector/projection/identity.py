"""Whose version a document is: its partition key, its id, its place in the hash space, its version.

A document that is not good has to be kept under a key of its own. Where one of them cannot be read,
the text for the partition key starts with a backslash: never JSON, so that no good document has that
key, whatever its id. So an entry for the number 5 never meets the text "5", no entry is healed by
another document, and one look tells whether the container can be asked about it.
"""

from __future__ import annotations

import hashlib
import re
from decimal import Decimal

import msgspec

from projector.core.epk import (
    UNDEFINED,
    PartitionKeyValue,
    effective_partition_key,
    routing_key,
    routing_key_of_text,
)
from projector.projection.definition import Field
from projector.projection.fields import NOT_DECODED, Fields, Problem, decoded_text, kind_of
from projector.projection.writes import RejectionReason

MAX_KEY_BYTES = 1_024
MAX_PARTITION_KEY_BYTES = 8_192
"""Of the JSON text: above four times the service's limit of 2,048 bytes for a partition key."""

MAX_LSN = (1 << 63) - 1
MAX_TS = 253_402_300_799  # the end of the year 9999
_MAX_WHOLE_NUMBER = 1e21  # the service, like JavaScript, writes an exponent from here on
_NOT_READABLE = "\\"
_WHOLE_NUMBER = re.compile(rb"0|[1-9][0-9]{0,18}")
_SCALAR = msgspec.json.Decoder(str | float | bool | None)


class Stamp(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The version of a document, as the service noted it."""

    lsn: int = 0
    ts: int = 0
    etag: str = ""
    problem: Problem | None = None


class EntryKey(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The key of a rejection, and where it lies; None when no partition key can be read."""

    partition_key: str
    id: str
    epk: int | None


class RowKey(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The key of a document that may be a row: both texts are good."""

    key: str
    id: str
    epk: int


def read_stamp(fields: Fields, *, lsn: int | None) -> Stamp:
    """Read the version; `lsn` stands in for `_lsn` where the document was not read from a feed."""
    found = _whole(fields.values.get("_lsn"), MAX_LSN) if lsn is None else lsn
    ts = _whole(fields.values.get("_ts"), MAX_TS)
    etag = decoded_text(fields.values.get("_etag", b'""')) or ""
    problem = None
    if found is None or ts is None:
        name = "_lsn" if found is None else "_ts"
        problem = Problem(RejectionReason.UNDECODABLE, f"{name} is missing or no whole number")
    elif "\0" in etag:
        problem = Problem(RejectionReason.BAD_TEXT, "_etag holds NUL")
    return Stamp(
        lsn=found or 0,
        ts=ts or 0,
        etag=etag.replace("\0", "\N{REPLACEMENT CHARACTER}"),
        problem=problem,
    )


def identify(fields: Fields, key: Field) -> RowKey | Problem:
    """Read whose document it is; a problem when it cannot be a row's."""
    id_found = read_text("id", fields.values.get("id"), RejectionReason.BAD_ID)
    if isinstance(id_found, Problem):
        return id_found
    found = read_text(key.name, fields.values.get(key.name), key.reason)
    if isinstance(found, Problem):
        return found
    return RowKey(key=found, id=id_found, epk=routing_key_of_text(found.encode()))


def read_text(name: str, value: bytes | None, reason: str) -> str | Problem:
    """Read a text that has to be there, not empty, free of NUL and at most 1,024 bytes long."""
    if value is None:
        return Problem(reason, f"{name} is missing")
    if value[:1] != b'"':
        return Problem(reason, f"{name} is {kind_of(value)}, not a string")
    text = decoded_text(value)
    if text is None or "\0" in text:
        return Problem(RejectionReason.BAD_TEXT, f"{name} holds NUL or what is no Unicode text")
    if not text:
        return Problem(reason, f"{name} is empty")
    size = len(text.encode())
    if size > MAX_KEY_BYTES:
        return Problem(reason, f"{name} has {size:,} bytes, more than {MAX_KEY_BYTES:,}")
    return text


def entry_key(raw: bytes, fields: Fields, key: Field) -> EntryKey:
    """The key to keep a document under that is not good."""
    partition_key, epk = _partition_key_of(fields, key.name)
    id_, is_good = _document_key_of(raw, fields)
    if not is_good and can_be_asked_for(partition_key):
        partition_key = _NOT_READABLE + partition_key
    return EntryKey(partition_key=partition_key, id=id_, epk=epk)


def can_be_asked_for(partition_key: str) -> bool:
    """Whether the key of a rejection, or of a row, names a document to the container."""
    return not partition_key.startswith(_NOT_READABLE)


def _partition_key_of(fields: Fields, name: str) -> tuple[str, int | None]:
    """The partition key as JSON text, and where it lies; None when the text is no JSON."""
    value = fields.values.get(name)
    if value is None and not fields.complete:
        return _NOT_READABLE, None
    try:
        key = UNDEFINED if value is None or value[:1] in {b"{", b"["} else _SCALAR.decode(value)
        text = _json_of(key)
        epk = routing_key(effective_partition_key(key))
    except (*NOT_DECODED, OverflowError):
        text, epk = _shown(value or b""), None
    if len(text.encode()) > MAX_PARTITION_KEY_BYTES:
        return _digest(text.encode()), None
    return text, epk


def _json_of(key: PartitionKeyValue) -> str:
    """The one text for this key; numbers as JavaScript writes them, but for the sign of zero."""
    if key is UNDEFINED:
        return UNDEFINED.value
    if not isinstance(key, float):
        return msgspec.json.encode(key).decode()
    text = repr(key)
    if key.is_integer() and abs(key) < _MAX_WHOLE_NUMBER and text != "-0.0":
        return format(Decimal(text), "f").removesuffix(".0")
    return text


def _document_key_of(raw: bytes, fields: Fields) -> tuple[str, bool]:
    """The id and True when it is good; else the id as it stands, or what else is the document's own."""
    value = fields.values.get("id")
    if value is not None:
        found = read_text("id", value, RejectionReason.BAD_ID)
        return (_shown(value), False) if isinstance(found, Problem) else (found, True)
    rid = decoded_text(fields.values.get("_rid", b""))
    return (_shown(b"_rid:%b" % rid.encode()) if rid else _digest(raw)), False


def _shown(value: bytes) -> str:
    text = _NOT_READABLE + value.decode("utf-8", "backslashreplace").replace("\0", r"\x00")
    return text if len(text.encode()) <= MAX_KEY_BYTES else _digest(value)


def _digest(value: bytes) -> str:
    return f"{_NOT_READABLE}sha256:{hashlib.sha256(value).hexdigest()}"


def _whole(value: bytes | None, highest: int) -> int | None:
    if value is None or not _WHOLE_NUMBER.fullmatch(value):
        return None
    number = int(value)
    return number if number <= highest else None
