"""The target of a library run: the user's handler, called once per page, in order.

It stores no positions, so the bookmark in the lease alone says where a range goes on. Pages
without documents move the bookmark and call nobody. What the handler raises becomes
`ChangeHandlerFailed`; a lease lost in the middle of a handler stays what it is.

What a handler is told beside the changes.

Opens what a processor or an estimator needs of Cosmos DB, and closes it with the block.

The user's health hooks as an observer.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import msgspec
from typing_extensions import override

from projector.changefeed.containers import CosmosContainer
from projector.core.errors import HandlerFailed, LeaseError
from projector.core.names import Continuation, Epoch, LeaseToken
from projector.core.ranges import FeedRange
from projector.core.start import Position
from projector.core.states import CloseReason
from projector.cosmos.change_source import CosmosChangeSource
from projector.cosmos.lease_container import LeaseContainer
from projector.cosmos.lease_documents import lease_prefix
from projector.cosmos.lease_store import CosmosBootstrapMarkers, CosmosLeaseStore
from projector.ports.feed import (
    Applied,
    Beginning,
    BootstrapMarkers,
    ChangeSource,
    Clock,
    Grant,
    LeaseStore,
    Page,
    RangeClaim,
    RangeReport,
)
from projector.processor.notifications import SilentObserver


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeContext:
    """The page that the changes came in.

    Attributes:
        lease_token: the range they belong to; changes of one partition key share it.
        feed_range: its keys.
        etag: the position after this page, quoted, as a bookmark holds it.
        lsn: that position as a number, None when unknown.
        session_token: to read the same documents with session consistency.
        request_units: what reading the page cost.
    """

    lease_token: str
    feed_range: FeedRange
    etag: str
    lsn: int | None
    session_token: str | None
    request_units: float
    _bookmark: Callable[[], Awaitable[None]] = field(repr=False)

    async def checkpoint(self) -> None:
        """Bookmark everything up to and including this page; for `checkpoint="manual"`.

        May be called later than the handler's return, and for an older page, which moves the
        bookmark back.

        Raises:
            LeaseLost: another host reads the range by now; its bookmark is left alone.
            LeaseStoreUnavailable: the lease container does not answer; call again.
            RuntimeError: the processor checkpoints by itself.
        """
        await self._bookmark()


class ChangeHandlerFailed(HandlerFailed):
    """The handler raised, or a page could not be decoded for it; `__cause__` is that error.

    The same changes come again after the range was given back.
    """

    def __init__(self, message: str, *, context: ChangeContext) -> None:
        """Take the page it happened with."""
        super().__init__(message)
        self.context = context


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

    def prepare(self, page: Page) -> Page:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapters:
    """The ports of one processor."""

    source: ChangeSource
    leases: LeaseStore
    markers: BootstrapMarkers


@asynccontextmanager
async def opened(
    container: CosmosContainer,
    lease_container: CosmosContainer,
    *,
    processor_name: str,
    clock: Clock,
) -> AsyncIterator[Adapters]:
    """The ports over two containers, in one account or two.

    Raises: ConfigurationError, SourceMissing, SourceUnavailable.
    """
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(container.gateway())
        lease_gateway = gateway
        if not container.same_account(lease_container):
            lease_gateway = await stack.enter_async_context(lease_container.gateway())
        source = CosmosChangeSource(gateway, container.path)
        prefix = lease_prefix(
            processor_name=processor_name,
            endpoint_host=gateway.account.host,
            container_rid=await source.container_rid(),
        )
        documents = LeaseContainer(lease_gateway, lease_container.path)
        yield Adapters(
            source=source,
            leases=CosmosLeaseStore(documents, prefix=prefix),
            markers=CosmosBootstrapMarkers(documents, prefix=prefix, clock=clock),
        )


OnAcquired = Callable[[str], Awaitable[None]]
OnReleased = Callable[[str, CloseReason], Awaitable[None]]
OnError = Callable[[str, Exception], Awaitable[None]]


class Hooks(SilentObserver):
    """Calls what the user gave; the processor catches and logs what they raise."""

    def __init__(
        self,
        *,
        on_acquired: OnAcquired | None,
        on_released: OnReleased | None,
        on_error: OnError | None,
    ) -> None:
        """Take the hooks; None is silent."""
        self._on_acquired = on_acquired
        self._on_released = on_released
        self._on_error = on_error

    @override
    async def acquired(self, token: LeaseToken) -> None:
        """The lease is owned, the range about to be read."""
        if self._on_acquired is not None:
            await self._on_acquired(token)

    @override
    async def released(self, token: LeaseToken, reason: CloseReason) -> None:
        """The range is no longer read by this host."""
        if self._on_released is not None:
            await self._on_released(token, reason)

    @override
    async def failed(self, token: LeaseToken, error: Exception) -> None:
        """A range ended, or waits, because of this error."""
        if self._on_error is not None:
            await self._on_error(token, error)
