"""Where the documents of a first load come from: the change feed, or a query of the container.

The feed from its beginning is read up to the anchor: where the source stood before the first page. What
lies above it is left to the hosts, which go on from there; so every document comes once. A scan reads what
the container holds now, in no order, and its documents bear no `_lsn`. They are stored as if each were of
the anchor's: whatever the feed brings after the anchor is newer than what was scanned, or the very same, and
wins; what lies before it cannot be newer than what was scanned after it. For that the scan has to be as new
as the anchor, and so an answer from before it is not taken.

The feed costs by what it delivers; a scan costs less than half of it in public figures, and needs the anchor
to hold. Both end in the same rows, but for the `_lsn` of documents that were scanned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from projector.core.errors import RebuildError, SourceUnavailable
from projector.core.names import Continuation
from projector.core.start import Position
from projector.ports.feed import FeedTarget, Page
from projector.ports.filling import Load
from projector.ports.points import DocumentScanner
from projector.projection.project import Projection
from projector.projection.writes import ProjectedPage


class FromBefore(SourceUnavailable):
    """The source answered from before what was read: a replica is behind, or the service went back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """One page as sent; `body` None: it brings nothing. `lsn`: it holds all changes up to there."""

    body: bytes | None
    place: str | None
    last: bool
    lsn: int | None
    request_units: float


class Pages(Protocol):
    """Reads the pages of a part; `survives_splits`: a place means the same to the children."""

    survives_splits: bool

    async def read(
        self, target: FeedTarget, place: str | None, *, anchor: Position, max_documents: int
    ) -> Delivered:
        """Read the page at `place`; None is the first. Raises as `ChangeSource.read_page`."""

    def load(self, page: Delivered, *, anchor: Position) -> Load:
        """What it brings, made ready."""


class Feed(Protocol):
    """What a first load reads of a change source."""

    async def read_page(
        self, target: FeedTarget, continuation: Continuation | None, *, max_documents: int
    ) -> Page:
        """Read one page; see `ChangeSource`."""

    def lsn_of(self, continuation: Continuation) -> int | None:
        """The continuation as a number; see `ChangeSource`."""


class FeedPages:
    """The change feed from its beginning to the anchor."""

    survives_splits = True

    def __init__(self, source: Feed, projection: Projection) -> None:
        """Read from this source."""
        self._source = source
        self._projection = projection

    async def read(
        self, target: FeedTarget, place: str | None, *, anchor: Position, max_documents: int
    ) -> Delivered:
        """Read the page after `place`; see `Pages`."""
        continuation = None if place is None else Continuation(place)
        page = await self._source.read_page(target, continuation, max_documents=max_documents)
        reached = 0 if continuation is None else self._source.lsn_of(continuation)
        told = [lsn for lsn in (page.session_lsn, page.lsn) if lsn is not None]
        if reached is None or page.lsn is None:
            raise RebuildError("the feed's places cannot be ordered: fill it by a scan instead")
        if min(told) < reached or (page.body is None and page.lsn < _lsn(anchor)):
            raise FromBefore(f"the feed answered at {page.lsn}, and was at {reached} before")
        return Delivered(
            body=page.body,
            place=page.continuation,
            last=page.lsn >= _lsn(anchor),
            lsn=page.lsn,
            request_units=page.request_units,
        )

    def load(self, page: Delivered, *, anchor: Position) -> Load:
        """What it brings up to the anchor; see `Pages`."""
        if page.body is None:
            return _load(ProjectedPage(), page)
        projected = self._projection.page(page.body)
        if page.lsn is None or page.lsn <= _lsn(anchor):
            return _load(projected, page)
        return _load(_up_to(projected, _lsn(anchor)), page)


class ScanPages:
    """What a query of the container finds."""

    survives_splits = False

    def __init__(self, scanner: DocumentScanner, projection: Projection) -> None:
        """Read through this scanner."""
        self._scanner = scanner
        self._projection = projection

    async def read(
        self, target: FeedTarget, place: str | None, *, anchor: Position, max_documents: int
    ) -> Delivered:
        """Read the page of that name; see `Pages`."""
        page = await self._scanner.scan(target, place, max_documents=max_documents)
        if page.session_lsn is None:
            raise RebuildError(
                "the service does not say how new its answers are, so a scan cannot be trusted:"
                " fill the generation from the feed instead"
            )
        if page.session_lsn < _lsn(anchor):
            raise FromBefore(f"the scan answered at {page.session_lsn}, before its anchor")
        return Delivered(
            body=page.body,
            place=page.next_page,
            last=page.next_page is None,
            lsn=None,
            request_units=page.request_units,
        )

    def load(self, page: Delivered, *, anchor: Position) -> Load:
        """All of it, at the anchor; see `Pages`."""
        if page.body is None:
            return _load(ProjectedPage(), page)
        return _load(self._projection.page(page.body, lsn=_lsn(anchor)), page)


def _lsn(anchor: Position) -> int:
    if anchor.lsn is None:
        raise RebuildError("the service does not say where its feed ends, so nothing can be filled")
    return anchor.lsn


def _up_to(page: ProjectedPage, lsn: int) -> ProjectedPage:
    writes = tuple([write for write in page.writes if write.lsn <= lsn])
    rejections = tuple([one for one in page.rejections if one.lsn <= lsn])
    return ProjectedPage(
        writes=writes,
        rejections=rejections,
        delivered=len(writes) + sum(one.key is None for one in rejections),
        newest_ts=max([*(one.ts for one in writes), *(one.ts for one in rejections)], default=None),
    )


def _load(page: ProjectedPage, delivered: Delivered) -> Load:
    return Load(
        writes=[write for write in page.writes if not write.deleted],
        rejections=page.rejections,
        place=delivered.place,
        last=delivered.last,
        documents=page.delivered,
        newest_ts=page.newest_ts if delivered.lsn is not None else None,
        request_units=delivered.request_units,
    )
