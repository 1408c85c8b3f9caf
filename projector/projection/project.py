"""A page of cart documents becomes rows, tombstones and rejections: what the sink prepares.

Ordinary documents take the fast lane (`shapes` and `_write_of`), which accepts only what it is sure
of; every other goes through `document`, which knows all rules. Both agree on all that both accept,
and a test holds them to it. A page that does not decode is cut by `scan`, so that a bad document
costs itself and never its neighbours.
"""

from __future__ import annotations

import re
from operator import attrgetter

import msgspec
from msgspec import UNSET, Raw, UnsetType

from projector.core.epk import routing_key_of_text
from projector.core.errors import SourceUnavailable
from projector.projection.document import CURRENCY, pass_over, project_document
from projector.projection.lane import sure_writes, tombstone_of
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
)
from projector.projection.writes import PassedOver, ProjectedPage, Rejection, RowWrite

_NULL = Raw(b"null")
_NUMBER = rb"(?:0|-?[1-9][0-9]{0,17})(?:\.[0-9]{1,10})?"
_is_number = re.compile(_NUMBER).fullmatch
_quoted_number = re.compile(rb'"(' + _NUMBER + rb')"').fullmatch
_is_currency = CURRENCY.fullmatch
_ts_of = attrgetter("ts")

_shapes = PageShapes()


def project_page(
    body: bytes, *, lsn: int | None = None, selection: Selection = EVERYTHING
) -> ProjectedPage:
    """Turn one page of the feed into writes and rejections, in feed order.

    `lsn` is given for pages that were not read from the feed (scans), whose documents bear no
    version of their own: the partition's LSN when it answered. What `selection` does not take is
    passed over: its key has no row.

    Raises:
        SourceUnavailable: the body is no whole page. It has to be read again: to go on behind it
            would skip documents.
    """
    if not selection.everything:
        return _project_selected(body, lsn, selection)
    plain = _shapes.decode(body)
    if plain is None and _shapes.learn(body):
        plain = _shapes.decode(body)
    if plain is not None:
        return _project_plain(body, plain, lsn)
    container_rid, documents = _pieces_of(body)
    return _project_pieces(body, container_rid, documents, lsn)


def _project_selected(body: bytes, lsn: int | None, selection: Selection) -> ProjectedPage:
    """The documents that are meant go their usual way together, the others are passed over."""
    container_rid, documents = _pieces_of(body)
    verdicts = [selection.takes(raw) for raw in documents]
    meant = [raw for raw, taken in zip(documents, verdicts, strict=True) if taken]
    passed = [
        pass_over(raw, lsn=lsn) for raw, taken in zip(documents, verdicts, strict=True) if not taken
    ]
    if not passed:
        return project_page(body, lsn=lsn)
    page = project_page(_joined(container_rid, meant), lsn=lsn) if meant else ProjectedPage()
    tombstones = tuple(one for one in passed if isinstance(one, RowWrite))
    keyless = tuple(one for one in passed if isinstance(one, PassedOver))
    newest = [page.newest_ts] if page.newest_ts is not None else []
    return msgspec.structs.replace(
        page,
        writes=page.writes + tombstones,
        passed=keyless,
        filtered=len(passed),
        delivered=len(documents),
        newest_ts=max([*newest, *map(_ts_of, (*tombstones, *keyless))], default=None),
        container_rid=container_rid,
        size_bytes=len(body),
    )


def _joined(container_rid: str | None, documents: list[bytes]) -> bytes:
    """A page of these documents alone."""
    rid = msgspec.json.encode(container_rid)
    return b'{"_rid":%s,"Documents":[%s]}' % (rid, b",".join(documents))


def _pieces_of(body: bytes) -> tuple[str | None, list[bytes]]:
    frame = split_page(body)
    if frame is not None:
        return frame[0], [bytes(document) for document in frame[1]]
    cut = cut_page(body)
    if cut is None:
        raise SourceUnavailable(
            f"the page of {len(body):,} bytes is cut off or is none; reading it again"
        )
    return cut.container_rid, list(cut.documents)


def _project_pieces(
    body: bytes, container_rid: str | None, documents: list[bytes], lsn: int | None
) -> ProjectedPage:
    writes: list[RowWrite] = []
    rejections: list[Rejection] = []
    for raw in documents:
        _project_slowly(raw, lsn, writes, rejections)
    return _page(body, container_rid, len(documents), writes, rejections)


def _project_plain(body: bytes, plain: PlainPage, lsn: int | None) -> ProjectedPage:
    sure = sure_writes(body, plain) if lsn is None else None
    if sure is not None:
        return _page(body, plain.container_rid, len(sure), sure, [])
    writes: list[RowWrite] = []
    rejections: list[Rejection] = []
    pieces: list[bytes] = []
    for number, document in enumerate(plain.documents):
        write = _write_of(document, plain.extras, document.lsn if lsn is None else lsn)
        if write is not None:
            writes.append(write)
        else:
            pieces = pieces or _pieces_of(body)[1]
            _project_slowly(pieces[number], lsn, writes, rejections)
    return _page(body, plain.container_rid, len(plain.documents), writes, rejections)


def _project_slowly(
    raw: bytes, lsn: int | None, writes: list[RowWrite], rejections: list[Rejection]
) -> None:
    projected = project_document(raw, lsn=lsn)
    if projected.write is not None:
        writes.append(projected.write)
    if projected.rejection is not None:
        rejections.append(projected.rejection)


def _page(
    body: bytes,
    container_rid: str | None,
    delivered: int,
    writes: list[RowWrite],
    rejections: list[Rejection],
) -> ProjectedPage:
    newest = max(map(_ts_of, (*writes, *rejections)), default=None)
    return ProjectedPage(
        writes=tuple(writes),
        rejections=tuple(rejections),
        delivered=delivered,
        newest_ts=newest,
        container_rid=container_rid,
        size_bytes=len(body),
    )


def _write_of(document: PlainDocument, extras: ExtrasReader, lsn: int | None) -> RowWrite | None:
    """The write of a document that is good beyond doubt; None when the rules have to be asked."""
    cart_id, id_ = document.cart_id, document.id
    if lsn is None or not (_is_sure(cart_id) and _is_sure(id_)) or "\0" in document.etag:
        return None
    epk = routing_key_of_text(cart_id.encode())
    if document.ttl is not UNSET:
        return tombstone_of(document, epk, lsn)
    item, quantity, currency = document.item, document.quantity, document.currency
    price, extra = _price_of(document.price), extras(document)
    if (
        isinstance(price, UnsetType)
        or isinstance(extra, UnsetType)
        or not _is_sure(item)
        or not _is_number(quantity)
        or not (currency is None or (type(currency) is str and _is_currency(currency)))
    ):
        return None
    return RowWrite(
        cart_id=cart_id,
        id=id_,
        epk=epk,
        lsn=lsn,
        ts=document.ts,
        etag=document.etag,
        item=item,
        quantity=quantity,
        unit_price=price,
        currency=currency,
        extra=extra,
    )


def _price_of(price: Raw) -> Raw | UnsetType | None:
    if _is_number(price):
        return price
    if price is ABSENT or price == _NULL:
        return None
    quoted = _quoted_number(price)
    return Raw(quoted[1]) if quoted else UNSET


def _is_sure(text: object) -> bool:
    return type(text) is str and 0 < len(text) <= SURE_CHARACTERS and "\0" not in text
