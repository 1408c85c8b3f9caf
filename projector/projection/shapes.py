"""Decodes whole pages of ordinary documents in one go: the fast lane.

Typed decoding is fastest when all field names are known and no other may appear. So the names of
extra fields are learned from pages that did not fit, and a decoder is kept per set of names. A page
that does not fit is not judged here: the caller takes it document by document. What a page
turns into never depends on what was learned, only how soon.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from projector.projection.extra import LINE_FIELDS, SYSTEM_FIELDS, harmless
from projector.projection.fields import NOT_DECODED
from projector.projection.identity import MAX_LSN, MAX_TS

MAX_LEARNED_NAMES = 24
ABSENT: Final = Raw()

_KNOWN = frozenset((*LINE_FIELDS, *SYSTEM_FIELDS, "ttl"))
_SHAPES_KEPT = 16
_is_learnable = re.compile(r'[^\\"\x00-\x1f]{0,128}').fullmatch  # the decoder takes no other names


class PlainDocument(
    msgspec.Struct, frozen=True, gc=False, kw_only=True, forbid_unknown_fields=True
):
    """A document as far as types go; whether its values are good is not said."""

    id: Any = None
    cart_id: Any = msgspec.field(default=None, name="cartId")
    item: Any = None
    quantity: Raw = ABSENT
    price: Raw = ABSENT
    currency: Any = None
    ttl: Any = UNSET
    rid: Raw = msgspec.field(default=ABSENT, name="_rid")
    self_link: Raw = msgspec.field(default=ABSENT, name="_self")
    attachments: Raw = msgspec.field(default=ABSENT, name="_attachments")
    etag: str = msgspec.field(default="", name="_etag")
    ts: Annotated[int, msgspec.Meta(ge=0, le=MAX_TS)] = msgspec.field(name="_ts")
    lsn: Annotated[int, msgspec.Meta(ge=0, le=MAX_LSN)] | None = msgspec.field(
        default=None, name="_lsn"
    )


ExtrasReader = Callable[[PlainDocument], Raw | UnsetType | None]
"""Reads the other fields as one JSON object: None without any, UNSET when they need a look."""


class _Frame(msgspec.Struct, frozen=True, kw_only=True):
    documents: list[Raw] = msgspec.field(name="Documents")
    container_rid: str | None = msgspec.field(default=None, name="_rid")


class _LooseFrame(msgspec.Struct, frozen=True, kw_only=True):
    documents: list[dict[str, Raw]] = msgspec.field(name="Documents")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainPage:
    """A decoded page, and how to read the other fields of its documents."""

    container_rid: str | None
    documents: list[PlainDocument]
    extras: ExtrasReader


_FRAMES = msgspec.json.Decoder(_Frame)
_LOOSE_FRAMES = msgspec.json.Decoder(_LooseFrame)


def split_page(body: bytes) -> tuple[str | None, list[Raw]] | None:
    """The container's `_rid` and the documents' bytes; None when the page is no sound JSON."""
    try:
        frame = _FRAMES.decode(body)
    except NOT_DECODED:
        return None
    return frame.container_rid, frame.documents


class PageShapes:
    """Decodes pages and remembers the names of extra fields that it met."""

    def __init__(self) -> None:
        self._names: frozenset[str] = frozenset()

    def decode(self, body: bytes) -> PlainPage | None:
        """Decode a page of ordinary documents; None when one of them is not."""
        shape = _shape_of(tuple(sorted(self._names)))
        try:
            if not body.isascii():
                body.decode()
            frame = shape.decoder.decode(body)
        except NOT_DECODED:
            return None
        return PlainPage(
            container_rid=frame.container_rid, documents=frame.documents, extras=shape.extras
        )

    def learn(self, body: bytes) -> bool:
        """Take note of the names in a page that did not fit; whether there were new ones."""
        try:
            frame = _LOOSE_FRAMES.decode(body)
        except NOT_DECODED:
            return False
        met = frozenset(name for document in frame.documents for name in document) - _KNOWN
        names = self._names | met
        if len(names) > MAX_LEARNED_NAMES:  # another kind of documents: begin anew
            names = met
        if names == self._names or len(names) > MAX_LEARNED_NAMES:
            return False
        if not all(map(_is_learnable, names)):
            return False
        self._names = names
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    decoder: msgspec.json.Decoder[Any]
    extras: ExtrasReader


@lru_cache(maxsize=_SHAPES_KEPT)
def _shape_of(names: tuple[str, ...]) -> _Shape:
    fields = [f"extra_{number}" for number in range(len(names))]
    document = msgspec.defstruct(
        "ShapedDocument",
        [
            (field, Raw, msgspec.field(default=ABSENT, name=name))
            for field, name in zip(fields, names, strict=True)
        ],
        bases=(PlainDocument,),
        frozen=True,
        gc=False,
        kw_only=True,
        forbid_unknown_fields=True,
    )
    page = msgspec.defstruct(
        "ShapedFrame",
        [
            ("documents", list[document], msgspec.field(name="Documents")),  # type: ignore[valid-type]  # built at run time
            ("container_rid", str | None, msgspec.field(default=None, name="_rid")),
        ],
        kw_only=True,
    )
    return _Shape(decoder=msgspec.json.Decoder(page), extras=_extras_reader(names, fields))


def _extras_reader(names: tuple[str, ...], fields: list[str]) -> ExtrasReader:
    heads = [b"%b:" % msgspec.json.encode(name) for name in names]
    if not fields:
        return lambda _document: None
    if len(fields) == 1:
        return _reader_of_one(heads[0], attrgetter(fields[0]))
    return _reader_of_many(heads, attrgetter(*fields))


def _reader_of_one(head: bytes, read: Callable[[PlainDocument], Raw]) -> ExtrasReader:
    def extras(document: PlainDocument) -> Raw | UnsetType | None:
        value = read(document)
        if value is ABSENT:
            return None
        return Raw(b"{%b%b}" % (head, value)) if harmless(value) else UNSET

    return extras


def _reader_of_many(
    heads: list[bytes], read: Callable[[PlainDocument], tuple[Raw, ...]]
) -> ExtrasReader:
    def extras(document: PlainDocument) -> Raw | UnsetType | None:
        found = []
        for head, value in zip(heads, read(document), strict=True):
            if value is not ABSENT:
                if not harmless(value):
                    return UNSET
                found.append(b"%b%b" % (head, value))
        return Raw(b"{%b}" % b",".join(found)) if found else None

    return extras
