"""A page of documents becomes rows, tombstones and rejections: what the sink prepares.

Ordinary documents take the fast lane (`lane`, or `_write_of` one by one), which accepts only what it is sure
of; every other goes through `document`, which knows all rules. Both agree on all that both accept,
and a test holds them to it. A page that does not decode is cut by `scan`, so that a bad document
costs itself and never its neighbours.

Folds pages into one write per document: the newest, in the order that avoids deadlocks.

The order of `_lsn` decides; between equal ones the later in the feed wins. A rejection stays while
the newest write of its document is the tombstone that came with it. Folding is associative: pages
may be cut and gathered in any way, repetitions included.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from projector.core.epk import routing_key_of_text
from projector.core.errors import SourceUnavailable
from projector.projection.definition import MARKER, Definition, Field, Kind
from projector.projection.document import Rules
from projector.projection.lane import FastLane, tombstone_of
from projector.projection.scan import cut_page
from projector.projection.selection import EVERYTHING, Selection
from projector.projection.shapes import (
    ABSENT,
    SURE_CHARACTERS,
    ExtrasReader,
    PageShapes,
    PlainDocument,
    PlainPage,
    split_page,
    value_attribute,
)
from projector.projection.values import matcher, read_value
from projector.projection.writes import (
    Batch,
    PassedOver,
    ProjectedDocument,
    ProjectedPage,
    Rejection,
    RowWrite,
    Value,
)

_NULL = Raw(b"null")
_NUMBER = rb"(?:0|-?[1-9][0-9]{0,17})(?:\.[0-9]{1,10})?"
_is_number = re.compile(_NUMBER).fullmatch
_quoted_number = re.compile(rb'"(' + _NUMBER + rb')"').fullmatch
_ts_of = attrgetter("ts")
_MARKER_IN_JSON = f'"{MARKER}"'.encode()


class _Marked(msgspec.Struct):
    ttl: Any = msgspec.field(default=None, name=MARKER)


class _MarkedPage(msgspec.Struct):
    Documents: list[_Marked]


_decode_markers = msgspec.json.Decoder(_MarkedPage).decode


class Projection:
    """Turns documents into rows by one definition; which of them are meant, the selection says."""

    def __init__(self, definition: Definition, *, selection: Selection = EVERYTHING) -> None:
        """Project by the definition what the selection takes; the rest is passed over."""
        self.definition = definition
        self.selection = selection
        self._rules = Rules(definition)
        self._lane = FastLane(definition)
        self._shapes = PageShapes(definition)
        self._columns = [
            (field, attrgetter(value_attribute(number)), _SURE_VALUES[field.kind])
            for number, field in enumerate(definition.fields)
        ]

    @property
    def text(self) -> str:
        """Projection and filter in one line, as the target remembers them."""
        return self.definition.name + self.selection.text

    def document(self, raw: bytes, *, lsn: int | None = None) -> ProjectedDocument:
        """Turn one document into what it stands for, whether it is meant or not.

        `lsn` is given for documents that were not read from the feed: the version of the read.
        """
        return self._rules.judge(raw, lsn=lsn)

    def page(self, body: bytes, *, lsn: int | None = None) -> ProjectedPage:
        """Turn one page of the feed into writes and rejections, in feed order.

        `lsn` is given for pages that were not read from the feed (scans), whose documents bear no
        version of their own: the partition's LSN when it answered. What the selection does not take
        is passed over: its key has no row.

        Raises:
            SourceUnavailable: the body is no whole page. It has to be read again: to go on behind it
                would skip documents.
        """
        meant, passed = (body, ()) if self.selection.everything else self._selected(body, lsn)
        plain = self._shapes.decode(meant)
        if plain is None and self._shapes.learn(meant):
            plain = self._shapes.decode(meant)
        sure = None if plain is None else self._lane.writes(meant, plain, lsn=lsn)
        if sure is not None:
            page = _page(len(sure), sure, [])
        elif plain is not None:
            page = self._plain(meant, plain, lsn)
        else:
            page = self._judged(_pieces_of(meant), lsn)
        if passed:
            page = _passing_over(page, passed)
        least_ttl = _least_ttl(body) if _MARKER_IN_JSON in body else None
        return page if least_ttl is None else msgspec.structs.replace(page, least_ttl=least_ttl)

    def _selected(
        self, body: bytes, lsn: int | None
    ) -> tuple[bytes, Sequence[RowWrite | PassedOver | None]]:
        """A page of the documents that are meant, and what becomes of the others."""
        meant: list[bytes] = []
        passed: list[RowWrite | PassedOver | None] = []
        for raw in _pieces_of(body):
            if self.selection.takes(raw):
                meant.append(raw)
            else:
                passed.append(self._rules.pass_over(raw, lsn=lsn))
        return (_joined(meant) if passed else body), passed

    def _judged(self, documents: Sequence[bytes], lsn: int | None) -> ProjectedPage:
        writes: list[RowWrite] = []
        rejections: list[Rejection] = []
        for raw in documents:
            self._slowly(raw, lsn, writes, rejections)
        return _page(len(documents), writes, rejections)

    def _plain(self, body: bytes, plain: PlainPage, lsn: int | None) -> ProjectedPage:
        """Documents that are good beyond doubt, and those that the rules have to judge."""
        writes: list[RowWrite] = []
        rejections: list[Rejection] = []
        pieces: Sequence[bytes] = ()
        for number, document in enumerate(plain.documents):
            write = self._write_of(document, plain.extras, document.lsn if lsn is None else lsn)
            if write is not None:
                writes.append(write)
            else:
                pieces = pieces or _pieces_of(body)
                self._slowly(pieces[number], lsn, writes, rejections)
        return _page(len(plain.documents), writes, rejections)

    def _slowly(
        self, raw: bytes, lsn: int | None, writes: list[RowWrite], rejections: list[Rejection]
    ) -> None:
        projected = self._rules.judge(raw, lsn=lsn)
        if projected.write is not None:
            writes.append(projected.write)
        if projected.rejection is not None:
            rejections.append(projected.rejection)

    def _write_of(
        self, document: PlainDocument, extras: ExtrasReader, lsn: int | None
    ) -> RowWrite | None:
        """The write of a document that is good beyond doubt; None when the rules have to be asked."""
        key, id_ = document.key, document.id
        if lsn is None or not (_is_sure(key) and _is_sure(id_)) or "\0" in document.etag:
            return None
        epk = routing_key_of_text(key.encode())
        if document.ttl is not UNSET:
            return tombstone_of(document, epk, lsn)
        values: list[Value] = []
        for field, read, value_of in self._columns:
            value = value_of(field, read(document))
            if isinstance(value, UnsetType):
                return None
            values.append(value)
        extra = extras(document)
        if isinstance(extra, UnsetType):
            return None
        return RowWrite(
            key, id_, epk, lsn, document.ts, document.etag, values=tuple(values), extra=extra
        )


def document_of(write: RowWrite, definition: Definition) -> bytes:
    """What was to be stored of a live row, as one JSON object by the names of the document.

    What the definition does not name stands in `extra`, whatever it is: nothing is parsed.
    """
    values = dict(zip((field.name for field in definition.fields), write.values, strict=True))
    found = {"id": write.id, definition.key.name: write.key, **values, "extra": write.extra}
    return msgspec.json.encode(found)


def _least_ttl(body: bytes) -> int | None:
    """The shortest life that a marker of the page gives; None where none can be told."""
    try:
        found = [document.ttl for document in _decode_markers(body).Documents]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return min((ttl for ttl in found if type(ttl) is int and ttl > 0), default=None)


def _joined(documents: Sequence[bytes]) -> bytes:
    """A page of these documents alone."""
    return b'{"Documents":[%s]}' % b",".join(documents)


def _pieces_of(body: bytes) -> Sequence[bytes]:
    documents = split_page(body)
    if documents is not None:
        return [bytes(document) for document in documents]
    cut = cut_page(body)
    if cut is None:
        raise SourceUnavailable(
            f"the page of {len(body):,} bytes is cut off or is none; reading it again"
        )
    return cut


def _page(
    delivered: int, writes: Sequence[RowWrite], rejections: Sequence[Rejection]
) -> ProjectedPage:
    newest = max(map(_ts_of, (*writes, *rejections)), default=None)
    return ProjectedPage(
        writes=tuple(writes),
        rejections=tuple(rejections),
        delivered=delivered,
        newest_ts=newest,
    )


def _passing_over(
    page: ProjectedPage, passed: Sequence[RowWrite | PassedOver | None]
) -> ProjectedPage:
    """The page, with the documents that are not meant: what is of them in the target goes."""
    tombstones = tuple(one for one in passed if isinstance(one, RowWrite))
    keyless = tuple(one for one in passed if isinstance(one, PassedOver))
    newest = [page.newest_ts] if page.newest_ts is not None else []
    return msgspec.structs.replace(
        page,
        writes=page.writes + tombstones,
        passed=keyless,
        filtered=len(passed),
        delivered=page.delivered + len(passed),
        newest_ts=max([*newest, *map(_ts_of, (*tombstones, *keyless))], default=None),
    )


def _is_sure(text: object) -> bool:
    return type(text) is str and 0 < len(text) <= SURE_CHARACTERS and "\0" not in text


def _text(field: Field, value: Any) -> Value | UnsetType:
    return value if _is_sure(value) or (value is None and field.optional) else UNSET


def _code(field: Field, value: Any) -> Value | UnsetType:
    if value is None and field.optional:
        return None
    return value if type(value) is str and matcher(field.pattern)(value) else UNSET


def _number(field: Field, value: Raw) -> Value | UnsetType:
    if _is_number(value):
        return value
    if field.optional and (value is ABSENT or value == _NULL):
        return None
    quoted = _quoted_number(value) if field.quoted else None
    return Raw(quoted[1]) if quoted else UNSET


def _time(field: Field, value: Any) -> Value | UnsetType:
    if value is None and field.optional:
        return None
    found = read_value(field, msgspec.json.encode(value)) if type(value) is str else None
    return found if isinstance(found, str) else UNSET


def _boolean(field: Field, value: Any) -> Value | UnsetType:
    return value if type(value) is bool or (value is None and field.optional) else UNSET


_SURE_VALUES: Mapping[Kind, Callable[[Field, Any], Value | UnsetType]] = {
    Kind.TEXT: _text,
    Kind.CODE: _code,
    Kind.NUMBER: _number,
    Kind.TIME: _time,
    Kind.BOOLEAN: _boolean,
}


def fold(pages: Sequence[ProjectedPage]) -> Batch:
    """Keep the newest write and the newest rejection of each document of the pages, oldest first."""
    writes = _newest_writes(pages)
    rejections = _newest_rejections(chain.from_iterable(page.rejections for page in pages))
    return Batch(
        writes=tuple([writes[key] for key in sorted(writes)]),
        rejections=tuple(
            rejections[key] for key in sorted(rejections) if _stands(rejections[key], writes)
        ),
        passed=tuple(chain.from_iterable(page.passed for page in pages)),
        filtered=sum(page.filtered for page in pages),
        delivered=sum(page.delivered for page in pages),
        newest_ts=max(
            (page.newest_ts for page in pages if page.newest_ts is not None), default=None
        ),
        least_ttl=min(
            (page.least_ttl for page in pages if page.least_ttl is not None), default=None
        ),
    )


def _newest_writes(pages: Sequence[ProjectedPage]) -> dict[str, RowWrite]:
    # NUL is in no good text and sorts lowest, so that the joined key sorts as the pair does; and
    # the order of code points, Python's, is that of UTF-8 bytes, PostgreSQL's under COLLATE "C".
    found = {w.key + "\0" + w.id: w for page in pages for w in page.writes}
    if len(found) == sum(len(page.writes) for page in pages):
        return found
    found.clear()
    for write in chain.from_iterable(page.writes for page in pages):
        key = write.key + "\0" + write.id
        known = found.get(key)
        if known is None or write.lsn >= known.lsn:
            found[key] = write
    return found


def _newest_rejections(rejections: Iterable[Rejection]) -> dict[tuple[str, str], Rejection]:
    found: dict[tuple[str, str], Rejection] = {}
    for rejection in rejections:
        key = rejection.partition_key, rejection.id
        known = found.get(key)
        if known is None or rejection.lsn >= known.lsn:
            found[key] = rejection
    return found


def _stands(rejection: Rejection, writes: dict[str, RowWrite]) -> bool:
    """Whether no newer version of the document is known."""
    if rejection.key is None:
        return True
    newest = writes.get(rejection.key + "\0" + rejection.id)
    if newest is None or newest.lsn < rejection.lsn:
        return True
    return newest.lsn == rejection.lsn and newest.deleted
