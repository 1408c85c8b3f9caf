"""The fast lane: a page of ordinary documents becomes rows column by column.

A check of a thousand values at once costs a fraction of a thousand checks, and nearly all pages
pass. Each check here accepts only what the rules in `document` accept without a second look; a page
with anything else is refused as a whole and taken document by document.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from msgspec import UNSET, Raw, UnsetType

from projector.core.epk import routing_key_of_text
from projector.projection.document import CURRENCY
from projector.projection.shapes import ABSENT, PlainDocument, PlainPage, SureDocument
from projector.projection.writes import RowWrite

_DIGITS = b"0123456789."
_SURE_DIGITS = 12  # at most ten of them behind the point
_ESCAPED_NUL = b"\\u0000"
_NESTED_OR_ESCAPED = re.compile(rb"[\\\[{]")
_HIGHEST_TTL = 10**18


def sure_writes(body: bytes, page: PlainPage) -> list[RowWrite] | None:
    """One write per document, in feed order; None when a document needs a look of its own."""
    documents = page.sure_documents
    if not documents or _ESCAPED_NUL in body:
        return None
    quantities = [document.quantity for document in documents]
    prices = [document.price for document in documents]
    if not (
        all(quantities)
        and _are_numbers(quantities)
        and _are_numbers(prices)
        and all(map(_is_currency, {document.currency for document in documents}))
    ):
        return None
    extras = _extras(page, documents)
    return None if extras is None else _writes(documents, extras)


def tombstone_of(document: PlainDocument, epk: int, lsn: int) -> RowWrite | None:
    """The tombstone of a document that bears the marker; None when its `ttl` is not surely one."""
    if type(document.ttl) is not int or not 0 < document.ttl < _HIGHEST_TTL:
        return None
    return RowWrite(
        cart_id=document.cart_id,
        id=document.id,
        epk=epk,
        lsn=lsn,
        ts=document.ts,
        etag=document.etag,
        deleted=True,
    )


def _writes(
    documents: Sequence[SureDocument], extras: Sequence[Raw | None]
) -> list[RowWrite] | None:
    carts: dict[str, tuple[str, int]] = {}
    shared: dict[str | None, str | None] = {}  # equal texts of a page are kept once
    writes = []
    for document, extra in zip(documents, extras, strict=True):
        cart = carts.get(document.cart_id)
        if cart is None:
            cart_id = document.cart_id
            cart = carts[cart_id] = (cart_id, routing_key_of_text(cart_id.encode()))
        cart_id, epk = cart
        if document.ttl is UNSET:
            item, currency = document.item, document.currency
            write = RowWrite(
                cart_id=cart_id,
                id=document.id,
                epk=epk,
                lsn=document.lsn,
                ts=document.ts,
                etag=document.etag,
                item=shared.setdefault(item, item),
                quantity=document.quantity.copy(),  # or it would keep the whole page
                unit_price=document.price.copy() if document.price else None,
                currency=shared.setdefault(currency, currency),
                extra=extra,
            )
        else:
            gone = tombstone_of(document, epk, document.lsn)
            if gone is None:
                return None
            write = gone
        writes.append(write)
    return writes


def _are_numbers(values: Sequence[Raw]) -> bool:
    """Whether all of them, JSON values or nothing, are short numbers without sign and exponent."""
    return max(map(len, values)) <= _SURE_DIGITS and not b"".join(values).translate(None, _DIGITS)


def _is_currency(value: str | None) -> bool:
    return value is None or CURRENCY.fullmatch(value) is not None


def _extras(page: PlainPage, documents: Sequence[SureDocument]) -> list[Raw | None] | None:
    """The other fields of each document as one JSON object."""
    if not page.other_fields:
        return [None] * len(documents)
    if len(page.other_fields) > 1:
        return _unless_unsure(map(page.extras, documents))
    (field,) = page.other_fields
    values = list(map(field.read, documents))
    if not _are_plain_texts(values):
        return None
    head = field.head
    return [Raw(b"{%b%b}" % (head, value)) if value else None for value in values]


def _unless_unsure(extras: Iterable[Raw | UnsetType | None]) -> list[Raw | None] | None:
    found: list[Raw | None] = []
    for extra in extras:
        if isinstance(extra, UnsetType):
            return None
        found.append(extra)
    return found


def _are_plain_texts(values: Sequence[Raw]) -> bool:
    """Whether all of them, JSON values or nothing, are texts without escapes."""
    joined, found = b"".join(values), len(values) - values.count(ABSENT)
    return joined.count(b'"') == 2 * found and not _NESTED_OR_ESCAPED.search(joined)
