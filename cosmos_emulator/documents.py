"""Documents as they are kept: bytes, with the few facts that the service decides by.

A client's JSON is stored byte for byte, so that numbers stay as they were written; the system
properties follow it. The stored bytes are those that the change feed serves, `_lsn` last; every
other answer leaves `_lsn` out. Source: Cosmos DB REST API, documents and their system properties.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import msgspec

from cosmos_emulator.errors import bad_request, too_large
from cosmos_emulator.keys import PartitionKeyDefinition
from cosmos_emulator.rids import item_rid
from cosmos_emulator.ttl import item_ttl

MOST_DOCUMENT_BYTES = 2 * 1024 * 1024
MOST_LEVELS = 128
SYSTEM_PROPERTIES = frozenset({"_rid", "_self", "_etag", "_attachments", "_ts", "_lsn"})
_FORBIDDEN_IN_NAME = frozenset("/\\?#")
_LONGEST_ID = 1023
_LSN = b',"_lsn":'

ItemKey = tuple[str, str]


class Document(NamedTuple):
    """One version of one item; a tuple because there may be a million of them."""

    epk: str
    id: str
    number: int
    version: int
    ts: int
    ttl: int | None
    lsn: int
    body: bytes

    @property
    def key(self) -> ItemKey:
        """What tells items of a container apart: the hash of the partition key, and the id."""
        return self.epk, self.id

    @property
    def point_body(self) -> bytes:
        """The document as every answer but the change feed has it: without `_lsn`."""
        return self.body[: self.body.rindex(_LSN)] + b"}"

    def moved_to(self, lsn: int) -> Document:
        """The same version under another LSN."""
        body = self.body[: self.body.rindex(_LSN)] + _lsn_tail(lsn)
        return self._replace(lsn=lsn, body=body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A checked document on its way in: `head` is its JSON up to the last brace."""

    id: str
    epk: str
    ttl: int | None
    head: bytes


class Seal:
    """Adds the system properties of one container to its documents."""

    def __init__(self, *, rid: bytes, self_link: str) -> None:
        self._rid = rid
        self._salt = int.from_bytes(rid[-2:], "big")
        self._self_link = self_link.encode("ascii")

    def apply(
        self, incoming: Incoming, *, number: int, version: int, ts: int, lsn: int
    ) -> Document:
        """Returns the stored form of `incoming` as that version."""
        rid = item_rid(self._rid, number).encode("ascii")
        etag = self._etag(version, ts).encode("ascii")
        body = b'%b,"_rid":"%b","_self":"%bdocs/%b/","_etag":"\\"%b\\"",' % (
            incoming.head,
            rid,
            self._self_link,
            rid,
            etag,
        )
        body += b'"_attachments":"attachments/","_ts":%d%b' % (ts, _lsn_tail(lsn))
        return Document(incoming.epk, incoming.id, number, version, ts, incoming.ttl, lsn, body)

    def etag_of(self, document: Document) -> str:
        """The document's entity tag with its quotes, as the `etag` header has it."""
        return f'"{self._etag(document.version, document.ts)}"'

    def rid_of(self, document: Document) -> str:
        """The document's resource id."""
        return item_rid(self._rid, document.number)

    def _etag(self, version: int, ts: int) -> str:
        return f"{version & 0xFFFFFFFF:08x}-0000-{self._salt:04x}-0000-{ts & 0xFFFFFFFF:08x}0000"


def accept(body: bytes | Mapping[str, Any], definition: PartitionKeyDefinition) -> Incoming:
    """Checks a document as the service does and returns it ready to be stored."""
    document = decode_object(body) if isinstance(body, bytes) else body
    identity = checked_id(document, forbidden=frozenset())
    ttl = item_ttl(document)
    key = definition.key_of(document)
    if not SYSTEM_PROPERTIES.isdisjoint(document):
        document = {k: v for k, v in document.items() if k not in SYSTEM_PROPERTIES}
        body = document
    text = encode_json(body) if not isinstance(body, bytes) else body.strip()
    if len(text) > MOST_DOCUMENT_BYTES:
        raise too_large()
    _check_levels(document, text)
    return Incoming(id=identity, epk=definition.epk_of(key), ttl=ttl, head=text[:-1].rstrip())


def _check_levels(document: Mapping[str, Any], text: bytes) -> None:
    """Refuses deeper nesting than the service takes; what goes through a document goes by levels."""
    if text.count(b"[") + text.count(b"{") <= MOST_LEVELS:
        return
    level: list[object] = [document]
    for _ in range(MOST_LEVELS + 1):
        level = [
            item
            for part in level
            for item in (part.values() if isinstance(part, Mapping) else _items(part))
            if isinstance(item, list | Mapping)
        ]
        if not level:
            return
    raise bad_request(f"A document has at most {MOST_LEVELS} levels of nesting.")


def _items(part: object) -> list[object]:
    return part if isinstance(part, list) else []


def checked_id(document: Mapping[str, Any], *, forbidden: Set[str] = _FORBIDDEN_IN_NAME) -> str:
    """Returns the id; refuses one that the service would not take.

    Documents may have any characters in theirs, containers and databases may not.
    """
    identity = document.get("id")
    if not isinstance(identity, str) or not identity:
        raise bad_request(
            "The input content is invalid because the required properties - 'id; ' - are missing"
        )
    if len(identity) > _LONGEST_ID or not forbidden.isdisjoint(identity):
        raise bad_request("The resource id is too long or holds one of the characters / \\ ? #")
    return identity


def decode_object(body: bytes) -> dict[str, Any]:
    """Decodes a JSON object strictly: no NaN, no infinity, valid UTF-8."""
    try:
        value = decode_json(body)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"The request body is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise bad_request("The request body must be a JSON object.")
    return value


def decode_json(body: bytes) -> Any:
    """Decodes JSON strictly.

    Raises:
        ValueError: it is not JSON, or holds a number that no double can hold.
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Lone surrogates are legal JSON escapes; the service keeps them and msgspec does not.
        return json.loads(body, parse_constant=_refuse, parse_float=_finite)


def decode_leniently(body: bytes) -> Any:
    """Decodes what can be decoded: bad UTF-8, NaN and endless numbers pass; None when nothing does."""
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError):
        try:
            return json.loads(body.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            return None


def encode_json(value: object) -> bytes:
    """Encodes compactly; lone surrogates do not stop it."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode("ascii")


def _lsn_tail(lsn: int) -> bytes:
    return b"%b%d}" % (_LSN, lsn)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text} is out of range")
    return number
