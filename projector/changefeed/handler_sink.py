"""The target of a library run: the user's handler, called once per page, in order.

It stores no positions, so the bookmark in the lease alone says where a range goes on. Pages
without documents move the bookmark and call nobody. What the handler raises becomes
`ChangeHandlerFailed`; a lease lost in the middle of a handler stays what it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import msgspec

from projector.changefeed.context import ChangeContext, ChangeHandlerFailed
from projector.core.errors import LeaseError
from projector.core.names import Continuation, Epoch, LeaseToken
from projector.core.start import Position
from projector.ports.feed import Applied, Beginning, Grant, Page, RangeClaim, RangeReport

T = TypeVar("T")
Handler = Callable[[list[T], ChangeContext], Awaitable[None]]
Decoder = Callable[[bytes], T]
Bookmark = Callable[[LeaseToken, Epoch, Continuation], Awaitable[None]]


class _Plain(msgspec.Struct):
    documents: list[dict[str, Any]] = msgspec.field(name="Documents", default_factory=list)


class _Raw(msgspec.Struct):
    documents: list[msgspec.Raw] = msgspec.field(name="Documents", default_factory=list)


class HandlerSink(Generic[T]):
    """`Sink` over a handler; P is the page itself."""

    def __init__(
        self, *, handler: Handler[T], decoder: Decoder[T] | None, bookmark: Bookmark
    ) -> None:
        """Take the handler, and how to make one change of a document's bytes (None: a dict)."""
        self._handler = handler
        self._decoder = decoder
        self._bookmark = bookmark
        self._epochs = itertools.count(1)

    async def open(self, claim: RangeClaim) -> Grant:
        """Grant it: the lease is all the protection there is."""
        return Grant(claim=claim, epoch=Epoch(next(self._epochs)), keeps_positions=False)

    async def begin(self, grant: Grant, _beginning: Beginning) -> Grant:
        """Keep nothing."""
        return grant

    def prepare(self, _grant: Grant, page: Page) -> Page:
        """Leave decoding to the time when the handler can be told of its failure."""
        return page

    async def apply(self, grant: Grant, pages: Sequence[Page], _position: Position) -> Applied:
        """Call the handler for each page that holds a document.

        Raises: ChangeHandlerFailed.
        """
        delivered = 0
        newest: datetime | None = None
        for page in pages:
            context = self._context(grant, page)
            changes = self._decoded(page, context)
            if changes:
                await self._handle(changes, context)
            delivered += len(changes)
            newest = _newest(changes) or newest
        return Applied(delivered=delivered, newest_time=newest)

    async def sweep(self, _grant: Grant, *, session_token: str | None) -> None:
        """There is nothing to sweep: no replay is ever open."""

    async def report(self, _reports: Sequence[RangeReport]) -> frozenset[LeaseToken]:
        """Nobody else keeps epochs."""
        return frozenset()

    async def _handle(self, changes: list[T], context: ChangeContext) -> None:
        try:
            await self._handler(changes, context)
        except LeaseError:
            raise
        except Exception as error:
            raise ChangeHandlerFailed(
                f"the handler failed on {len(changes)} changes of lease {context.lease_token}:"
                f" {type(error).__name__}: {error}",
                context=context,
            ) from error

    def _decoded(self, page: Page, context: ChangeContext) -> list[T]:
        body = page.body or b'{"Documents":[]}'
        try:
            if self._decoder is None:
                plain: list[Any] = msgspec.json.decode(body, type=_Plain).documents
                return plain
            raw = msgspec.json.decode(body, type=_Raw).documents
            return [self._decoder(bytes(document)) for document in raw]
        except Exception as error:
            raise ChangeHandlerFailed(
                f"a page of lease {context.lease_token} cannot be decoded:"
                f" {type(error).__name__}: {error}",
                context=context,
            ) from error

    def _context(self, grant: Grant, page: Page) -> ChangeContext:
        token, epoch = grant.claim.lease_token, grant.epoch

        async def bookmark() -> None:
            await self._bookmark(token, epoch, page.continuation)

        return ChangeContext(
            lease_token=token,
            feed_range=grant.claim.feed_range,
            etag=page.continuation,
            lsn=page.lsn,
            session_token=page.session_token,
            request_units=page.request_units,
            _bookmark=bookmark,
        )


def _newest(changes: Sequence[object]) -> datetime | None:
    """Time of the last change, where changes are plain dicts; they come in order of change."""
    last = changes[-1] if changes else None
    seconds = last.get("_ts") if isinstance(last, dict) else None
    return datetime.fromtimestamp(seconds, UTC) if isinstance(seconds, int) else None
