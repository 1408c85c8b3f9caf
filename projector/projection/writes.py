"""What a page turns into: values that `projector.postgres` writes in one transaction.

Numbers stay the JSON text of the document (`msgspec.Raw`): exact, never through float.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

Value = str | msgspec.Raw | bool | None
"""Of a column: a number is the JSON text of the document, a time is in RFC 3339."""


class RowWrite(msgspec.Struct, frozen=True, gc=False):
    """The newest known version of one document: a live row or, when `deleted`, a tombstone.

    Attributes:
        key, id: of the row; the partition key's text and the document's id, both good.
        epk: the top 64 bits of the effective partition key (never negative).
        lsn: `_lsn` of the version; ordered within one lineage.
        ts: `_ts`, unix seconds.
        etag: `_etag`, "" when the document bears none.
        values: in the order of the definition's columns; none in a tombstone.
        extra: a JSON object of all other fields, or None when there are none.
    """

    key: str
    id: str
    epk: int
    lsn: int
    ts: int
    etag: str
    deleted: bool = False
    values: tuple[Value, ...] = ()
    extra: msgspec.Raw | None = None


class RejectionReason(StrEnum):
    """Why a document cannot become a row, whatever the projection; see also `Field.reason`."""

    UNDECODABLE = "undecodable"
    NOT_AN_OBJECT = "not_an_object"
    BAD_ID = "bad_id"
    BAD_TEXT = "bad_text"
    TOO_LARGE = "too_large"
    REFUSED_BY_TARGET = "refused_by_target"


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """A document that could not be projected, kept as it came.

    Attributes:
        partition_key: its partition key as JSON text (`"a"`, `5`, `null`; `{}` when undefined);
            text that starts with a backslash, so never JSON, when it or the id cannot be read.
        id: the document's id; one that is not good stands as a backslash and its JSON text.
        epk: top 64 bits of the partition key's hash; None when no partition key can be read.
        detail: one line for the operator: what is wrong with which field.
        raw: the document's bytes as the feed sent them.
        sqlstate: set when the target refused it.
        reason: a `RejectionReason` or the one of a field.
        key: of the row that may exist, set when key and id are good.
    """

    partition_key: str
    id: str
    epk: int | None
    lsn: int
    ts: int
    etag: str
    reason: str
    detail: str
    raw: bytes
    sqlstate: str | None = None
    key: str | None = None


class PassedOver(msgspec.Struct, frozen=True, kw_only=True):
    """A document that is not meant and that no row can be of; named as in `Rejection`."""

    partition_key: str
    id: str
    lsn: int
    ts: int


class ProjectedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What one document turns into: a write, a rejection, or both.

    Both: the document is rejected, and the tombstone removes the row of its older version.
    """

    write: RowWrite | None = None
    rejection: Rejection | None = None


class ProjectedPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page made ready: writes and rejections in feed order, keys may repeat.

    Attributes:
        passed: documents that are not meant and have no key of a row.
        filtered: documents that are not meant, those with a tombstone in `writes` included.
        delivered: documents in the page, good or bad.
        newest_ts: highest `_ts` in the page, None for an empty page.
        least_ttl: the shortest life, in seconds, that a marker of the page leaves its document; None
            without one, and for a page that does not decode as a whole.
    """

    writes: tuple[RowWrite, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    passed: tuple[PassedOver, ...] = ()
    filtered: int = 0
    delivered: int = 0
    newest_ts: int | None = None
    least_ttl: int | None = None


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Pages made ready for one transaction: at most one write and one rejection per document.

    Attributes:
        writes: newest per (key, id), sorted by these as PostgreSQL sorts under COLLATE "C".
        rejections: newest per (partition_key, id), sorted; none that a newer write outdates.
        passed: documents that are not meant and have no key of a row; keys may repeat.
        filtered: documents that are not meant, repetitions counted.
        delivered: documents in the pages, good or bad, repetitions counted.
        newest_ts: highest `_ts` in the pages, None when they were empty.
        least_ttl: as of a page.
    """

    writes: tuple[RowWrite, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    passed: tuple[PassedOver, ...] = ()
    filtered: int = 0
    delivered: int = 0
    newest_ts: int | None = None
    least_ttl: int | None = None

    @property
    def size(self) -> int:
        """Documents, more or less: one that is rejected may count twice."""
        return len(self.writes) + len(self.rejections)

    def divided(self, size: int) -> tuple[Batch, Batch]:
        """The first documents, about that many, and the rest.

        A rejection stays with the tombstone that it brought.
        """
        if not self.writes:
            first = msgspec.structs.replace(self, rejections=self.rejections[:size])
            return first, msgspec.structs.replace(self, rejections=self.rejections[size:])
        last = self.writes[:size][-1]
        here: list[Rejection] = []
        later: list[Rejection] = []
        for one in self.rejections:
            is_here = one.key is not None and (one.key, one.id) <= (last.key, last.id)
            (here if is_here else later).append(one)
        return (
            msgspec.structs.replace(self, writes=self.writes[:size], rejections=tuple(here)),
            msgspec.structs.replace(self, writes=self.writes[size:], rejections=tuple(later)),
        )
