"""The rules: what one cart document turns into. The single authority on what is good.

In this order, and the first that is broken names the reason: the document is a JSON object that
decodes; its version, id and cartId are good; the soft-delete marker ends it here; item, quantity,
price, currency and all other fields are good. A rejected document whose key is good yields a
tombstone as well: the row of its older version is not true any more.

`docs/reference/documents.md` has each rule with its border cases.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from projector.projection.extra import extra_of
from projector.projection.fields import Fields, Problem, decoded_text, kind_of, read_fields
from projector.projection.identity import (
    RowKey,
    Stamp,
    entry_key,
    identify,
    read_stamp,
    read_text,
)
from projector.projection.numbers import exact_decimal_string, exact_number
from projector.projection.writes import (
    PassedOver,
    ProjectedDocument,
    Rejection,
    RejectionReason,
    RowWrite,
)

CURRENCY = re.compile(r"[A-Z]{3}")
_NULL = b"null"
_SHOWN_BYTES = 40


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    """The good values of one line."""

    item: str
    quantity: msgspec.Raw
    unit_price: msgspec.Raw | None
    currency: str | None
    extra: msgspec.Raw | None


def project_document(raw: bytes, *, lsn: int | None = None) -> ProjectedDocument:
    """Turn one document, as the feed sent it, into a write, a rejection, or both.

    `lsn` is given for documents that were not read from the feed and bear no `_lsn`; it wins
    over one that is there. No bytes make this fail.
    """
    fields = read_fields(raw)
    stamp = read_stamp(fields, lsn=lsn)
    key = stamp.problem or identify(fields)
    if isinstance(key, Problem):
        return ProjectedDocument(rejection=_rejection(raw, fields, stamp, fields.problem or key))
    if is_marker(fields.values.get("ttl")):
        return ProjectedDocument(write=_tombstone(key, stamp))
    line = fields.problem or _line_of(fields.values)
    if isinstance(line, Problem):
        rejection = _rejection(raw, fields, stamp, line)
        return ProjectedDocument(write=_tombstone(key, stamp), rejection=rejection)
    return ProjectedDocument(write=_row(key, line, stamp))


def pass_over(raw: bytes, *, lsn: int | None = None) -> RowWrite | PassedOver | None:
    """What a document that is not meant stands for: no row of its key.

    A tombstone where a row of that key could be; else its key alone, for an entry that it may have
    left; None when it bears neither key nor version.
    """
    fields = read_fields(raw)
    stamp = read_stamp(fields, lsn=lsn)
    if stamp.problem is not None:
        return None
    key = identify(fields)
    if isinstance(key, RowKey):
        return _tombstone(key, stamp)
    entry = entry_key(raw, fields)
    return PassedOver(partition_key=entry.partition_key, id=entry.id, lsn=stamp.lsn, ts=stamp.ts)


def project_read(raw: bytes, *, lsn: int) -> ProjectedDocument:
    """Turn a document of a point read into what it stands for at `lsn`, the read's own version."""
    return project_document(raw, lsn=lsn)


def is_marker(ttl: bytes | None) -> bool:
    """Whether this `ttl` is the soft-delete marker: a JSON number, whole and above zero."""
    number = exact_number(ttl) if ttl else None
    if number is None or number.startswith(b"-"):
        return False
    whole, _, fraction = number.partition(b".")
    return whole != b"0" and not fraction.strip(b"0")


def _line_of(values: Mapping[str, bytes]) -> _Line | Problem:
    item = read_text("item", values.get("item"), RejectionReason.BAD_ITEM)
    if isinstance(item, Problem):
        return item
    quantity = _quantity_of(values.get("quantity"))
    if isinstance(quantity, Problem):
        return quantity
    price = _price_of(values.get("price", _NULL))
    if isinstance(price, Problem):
        return price
    currency = _currency_of(values.get("currency", _NULL))
    if isinstance(currency, Problem):
        return currency
    extra = extra_of(values)
    if isinstance(extra, Problem):
        return extra
    return _Line(item=item, quantity=quantity, unit_price=price, currency=currency, extra=extra)


def _quantity_of(value: bytes | None) -> msgspec.Raw | Problem:
    if value is None:
        return Problem(RejectionReason.BAD_QUANTITY, "quantity is missing")
    number = exact_number(value)
    if number is None:
        detail = f"quantity is {_shown(value)}, not a number of at most 18+10 digits"
        return Problem(RejectionReason.BAD_QUANTITY, detail)
    return msgspec.Raw(number)


def _price_of(value: bytes) -> msgspec.Raw | Problem | None:
    if value == _NULL:
        return None
    text = decoded_text(value)
    number = exact_number(value) if text is None else exact_decimal_string(text)
    if number is None:
        detail = f"price is {_shown(value)}, not a number or plain decimal of at most 18+10 digits"
        return Problem(RejectionReason.BAD_PRICE, detail)
    return msgspec.Raw(number)


def _currency_of(value: bytes) -> str | Problem | None:
    if value == _NULL:
        return None
    text = decoded_text(value)
    if text is None or not CURRENCY.fullmatch(text):
        detail = f"currency is {_shown(value)}, not three capital letters"
        return Problem(RejectionReason.BAD_CURRENCY, detail)
    return text


def _shown(value: bytes) -> str:
    """A value as an operator may see it: short and on one line."""
    text = " ".join(value[:_SHOWN_BYTES].decode("utf-8", "replace").split())
    return f"{kind_of(value)} ({text}{'...' if len(value) > _SHOWN_BYTES else ''})"


def _tombstone(key: RowKey, stamp: Stamp) -> RowWrite:
    return RowWrite(
        cart_id=key.cart_id,
        id=key.id,
        epk=key.epk,
        lsn=stamp.lsn,
        ts=stamp.ts,
        etag=stamp.etag,
        deleted=True,
    )


def _row(key: RowKey, line: _Line, stamp: Stamp) -> RowWrite:
    return RowWrite(
        cart_id=key.cart_id,
        id=key.id,
        epk=key.epk,
        lsn=stamp.lsn,
        ts=stamp.ts,
        etag=stamp.etag,
        item=line.item,
        quantity=line.quantity,
        unit_price=line.unit_price,
        currency=line.currency,
        extra=line.extra,
    )


def _rejection(raw: bytes, fields: Fields, stamp: Stamp, problem: Problem) -> Rejection:
    key = identify(fields)
    entry = entry_key(raw, fields)
    return Rejection(
        partition_key=entry.partition_key,
        id=entry.id,
        epk=entry.epk,
        lsn=stamp.lsn,
        ts=stamp.ts,
        etag=stamp.etag,
        reason=problem.reason,
        detail=problem.detail,
        raw=raw,
        cart_id=key.cart_id if isinstance(key, RowKey) else None,
    )
