"""Reads of single documents and of whole ranges, beside the change feed.

Used where the feed cannot answer: whether a document that was not seen again is really gone
(sweep, repair, retry of quarantined documents), and what a range holds now (verify). Nothing
here knows rows: documents stay the bytes that the service sent. Implemented by
`projector.cosmos`; adapters raise only errors of `projector.core.errors`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from projector.ports.feed import FeedTarget

UNDEFINED_PARTITION_KEY = "{}"
"""Partition key text of a document that lacks the partition key field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PointRead:
    """What the container says of one document; itself a version of it.

    Attributes:
        raw: the document's bytes as sent; None when it is absent for certain.
        session_lsn: upper bound of the version read, below any later write; None when the
            service did not tell: then nothing may be removed on the strength of this answer.
    """

    raw: bytes | None
    session_lsn: int | None


class PointReader(Protocol):
    """Reads single documents of the monitored container."""

    async def read(
        self, partition_key_json: str, document_id: str, *, session_token: str | None = None
    ) -> PointRead:
        """Read one document.

        `partition_key_json` is JSON text, `{}` when the document lacks the field;
        `session_token` is that of the range's last page: the answer is not older than it.

        Raises: SourceRecreated, SourceMissing, SourceUnavailable, Throttled,
            CredentialExpired, FeedRangeGone. Absence is a value, never an error.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannedPage:
    """One page of a scan, in no promised order.

    Attributes:
        body: JSON `{"_rid", "Documents": [...], "_count"}` as sent.
        next_page: opaque text to go on with; None when this was the last page.
        session_lsn: the partition's newest LSN when it answered, None when not told.
        session_token: the token that `session_lsn` was taken from.
        request_units: what the read cost.
    """

    body: bytes
    next_page: str | None
    session_lsn: int | None
    session_token: str | None = None
    request_units: float = 0.0


class DocumentScanner(Protocol):
    """Reads all documents of a range, independently of the change feed."""

    async def count(self) -> int | None:
        """How many documents the service says that the container has; None when it does not say.

        A figure for progress alone: the service counts now and then.

        Raises: as `scan`.
        """

    async def scan(
        self, target: FeedTarget, next_page: str | None, *, max_documents: int
    ) -> ScannedPage:
        """Read one page of the documents that the range holds now; None begins.

        Stateless, so that a page may be asked for again after any error. A range that was
        split or merged meanwhile raises FeedRangeGone: begin anew with its successors.

        Raises: FeedRangeGone, SourceRecreated, SourceMissing, SourceUnavailable, Throttled,
            PageTooLarge, CredentialExpired.
        """
