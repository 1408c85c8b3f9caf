"""Decodes whole pages of ordinary documents in one go: the fast lane.

Typed decoding is fastest when all field names are known and no other may appear. So the names of
extra fields are learned from pages that did not fit, and a decoder is kept per set of names. A page
that does not fit is not judged here: the caller takes it document by document. What a page
turns into never depends on what was learned, only how soon.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from projector.projection.definition import MARKER, SYSTEM_FIELDS, Definition, Kind
from projector.projection.extra import harmless
from projector.projection.fields import NOT_DECODED
from projector.projection.identity import MAX_LSN, MAX_TS

MAX_LEARNED_NAMES = 24
ABSENT: Final = Raw()
SURE_CHARACTERS = 256  # no text of so many has more than 1,024 bytes

_SHAPES_KEPT = 16
_is_learnable = re.compile(r'[^\\"\x00-\x1f]{0,128}').fullmatch  # the decoder takes no other names


class PlainDocument(
    msgspec.Struct, frozen=True, gc=False, kw_only=True, forbid_unknown_fields=True
):
    """A document as far as types go; whether its values are good is not said.

    The key and the fields of a definition come in addition, as `key` and `value_0`, `value_1`, ...
    """

    id: Any = None
    key: Any = None
    ttl: Any = msgspec.field(default=UNSET, name=MARKER)
    rid: Raw = msgspec.field(default=ABSENT, name="_rid")
    self_link: Raw = msgspec.field(default=ABSENT, name="_self")
    attachments: Raw = msgspec.field(default=ABSENT, name="_attachments")
    etag: str = msgspec.field(default="", name="_etag")
    ts: Annotated[int, msgspec.Meta(ge=0, le=MAX_TS)] = msgspec.field(name="_ts")
    lsn: Annotated[int, msgspec.Meta(ge=0, le=MAX_LSN)] | None = msgspec.field(
        default=None, name="_lsn"
    )


_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=SURE_CHARACTERS)]
_Time = Annotated[datetime, msgspec.Meta(tz=True)]


class SureDocument(PlainDocument, frozen=True, gc=False, kw_only=True, forbid_unknown_fields=True):
    """A document whose texts, version (if told) and marker are good but for NUL; of its numbers nothing is said."""

    id: _Text
    ttl: int | UnsetType = msgspec.field(default=UNSET, name=MARKER)


_SURE_TYPES: Mapping[Kind, Any] = {
    Kind.TEXT: _Text,
    Kind.CODE: str,
    Kind.TIME: _Time,
    Kind.BOOLEAN: bool,
}

ExtrasReader = Callable[[PlainDocument], Raw | UnsetType | None]
"""Reads the other fields as one JSON object: None without any, UNSET when they need a look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherField:
    """A field of the documents' own: how it begins in JSON, and where its value is."""

    head: bytes
    read: Callable[[PlainDocument], Raw]


class _Frame(msgspec.Struct, frozen=True, kw_only=True):
    documents: list[Raw] = msgspec.field(name="Documents")


class _LooseFrame(msgspec.Struct, frozen=True, kw_only=True):
    documents: list[dict[str, Raw]] = msgspec.field(name="Documents")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainPage:
    """A decoded page, and how to read the other fields of its documents.

    `sure_documents` is set when all documents are of that kind.
    """

    documents: Sequence[PlainDocument]
    sure_documents: Sequence[SureDocument] | None
    extras: ExtrasReader
    other_fields: Sequence[OtherField]


_FRAMES = msgspec.json.Decoder(_Frame)
_LOOSE_FRAMES = msgspec.json.Decoder(_LooseFrame)


def split_page(body: bytes) -> list[Raw] | None:
    """The documents' bytes; None when the page is no sound JSON."""
    try:
        frame = _FRAMES.decode(body)
    except NOT_DECODED:
        return None
    return frame.documents


class PageShapes:
    """Decodes pages of one projection and remembers the names of extra fields that it met."""

    def __init__(self, definition: Definition) -> None:
        """Know the fields of the definition, and no others."""
        self._definition = definition
        self._known = frozenset((*definition.field_names, *SYSTEM_FIELDS, MARKER))
        self._names: frozenset[str] = frozenset()
        self._shapes: OrderedDict[frozenset[str], _Shape] = OrderedDict()

    def decode(self, body: bytes) -> PlainPage | None:
        """Decode a page of ordinary documents; None when one of them is not."""
        shape = self._shape()
        try:
            if not body.isascii():
                body.decode()
        except UnicodeDecodeError:
            return None
        sure = _decoded(shape.sure, body)
        frame = sure or _decoded(shape.plain, body)
        if frame is None:
            return None
        return PlainPage(
            documents=frame.documents,
            sure_documents=None if sure is None else sure.documents,
            extras=shape.extras,
            other_fields=shape.other_fields,
        )

    def learn(self, body: bytes) -> bool:
        """Take note of the names in a page that did not fit; whether there were new ones."""
        try:
            frame = _LOOSE_FRAMES.decode(body)
        except NOT_DECODED:
            return False
        met = frozenset(name for document in frame.documents for name in document) - self._known
        names = self._names | met
        if len(names) > MAX_LEARNED_NAMES:  # another kind of documents: begin anew
            names = met
        if names == self._names or len(names) > MAX_LEARNED_NAMES:
            return False
        if not all(map(_is_learnable, names)):
            return False
        self._names = names
        return True

    def _shape(self) -> _Shape:
        shape = self._shapes.get(self._names)
        if shape is None:
            shape = self._shapes[self._names] = _shape_of(self._definition, sorted(self._names))
            if len(self._shapes) > _SHAPES_KEPT:
                self._shapes.popitem(last=False)
        return shape


def _decoded(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except NOT_DECODED:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    sure: msgspec.json.Decoder[Any]
    plain: msgspec.json.Decoder[Any]
    extras: ExtrasReader
    other_fields: Sequence[OtherField]


def value_attribute(number: int) -> str:
    """Where a decoded document has the value of that field of the definition."""
    return f"value_{number}"


def _shape_of(definition: Definition, names: Sequence[str]) -> _Shape:
    fields = [f"extra_{number}" for number in range(len(names))]
    found = [
        OtherField(head=b"%b:" % msgspec.json.encode(name), read=attrgetter(field))
        for field, name in zip(fields, names, strict=True)
    ]
    extras = [
        (field, Raw, msgspec.field(default=ABSENT, name=name))
        for field, name in zip(fields, names, strict=True)
    ]
    return _Shape(
        sure=_decoder(SureDocument, [*_sure_fields(definition), *extras]),
        plain=_decoder(PlainDocument, [*_plain_fields(definition), *extras]),
        extras=_extras_reader(found),
        other_fields=found,
    )


def _sure_fields(definition: Definition) -> list[tuple[str, Any, Any]]:
    found: list[tuple[str, Any, Any]] = [("key", _Text, msgspec.field(name=definition.key.name))]
    for number, each in enumerate(definition.fields):
        name = value_attribute(number)
        if each.kind is Kind.NUMBER:
            found.append((name, Raw, msgspec.field(default=ABSENT, name=each.name)))
        elif each.optional:
            type_ = _SURE_TYPES[each.kind] | None
            found.append((name, type_, msgspec.field(default=None, name=each.name)))
        else:
            found.append((name, _SURE_TYPES[each.kind], msgspec.field(name=each.name)))
    return found


def _plain_fields(definition: Definition) -> list[tuple[str, Any, Any]]:
    return [
        ("key", Any, msgspec.field(default=None, name=definition.key.name)),
        *(
            (value_attribute(number), Raw, msgspec.field(default=ABSENT, name=each.name))
            if each.kind is Kind.NUMBER
            else (value_attribute(number), Any, msgspec.field(default=None, name=each.name))
            for number, each in enumerate(definition.fields)
        ),
    ]


def _decoder(
    base: type[PlainDocument], fields: Sequence[tuple[str, Any, Any]]
) -> msgspec.json.Decoder[Any]:
    document = msgspec.defstruct(
        "ShapedDocument",
        fields,
        bases=(base,),
        frozen=True,
        gc=False,
        kw_only=True,
        forbid_unknown_fields=True,
    )
    page = msgspec.defstruct(
        "ShapedFrame",
        [
            ("documents", list[document], msgspec.field(name="Documents")),  # type: ignore[valid-type]  # built at run time
        ],
        kw_only=True,
    )
    return msgspec.json.Decoder(page)


def _extras_reader(others: Sequence[OtherField]) -> ExtrasReader:
    def extras(document: PlainDocument) -> Raw | UnsetType | None:
        found = []
        for other in others:
            value = other.read(document)
            if value is not ABSENT:
                if not harmless(value):
                    return UNSET
                found.append(b"%b%b" % (other.head, value))
        return Raw(b"{%b}" % b",".join(found)) if found else None

    return extras
