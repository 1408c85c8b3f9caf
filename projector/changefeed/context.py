"""What a handler is told beside the changes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from projector.core.errors import HandlerFailed
from projector.core.ranges import FeedRange


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
