"""The change feed of the monitored container: one request on the wire, one page.

Each read is stateless: one SDK query over one feed range from one etag, which is abandoned
after its page, so that the SDK's own handling of splits (it walks on into the children, without
bound) never runs. Body, etag, session token and charge are those of that very response. 200 and
304 alike give a position; a page never stands for another container or another range.
Source: azure-cosmos 4.17.1; traps T1 to T5, T7 and T9 of
tests/integration/cosmos/test_traps.py.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import msgspec

from projector.core.errors import ContinuationRefused, SourceRecreated, SourceUnavailable
from projector.core.names import Continuation
from projector.core.start import Position, StartFrom, StartKind
from projector.cosmos.continuations import at_lsn, composite, feed_range_json, lsn_of
from projector.cosmos.monitored import MonitoredContainer, OtherContainer, Request
from projector.cosmos.wire import (
    HTTP_BAD_REQUEST,
    HTTP_NOT_MODIFIED,
    PAGE_STAND_IN,
    Answer,
    session_lsn,
)
from projector.ports.feed import FeedTarget, Page

_HEAD_BYTES = 256
_BODY_RID = re.compile(rb'^\s*\{\s*"_rid"\s*:\s*"([^"\\]*)"')
_ANY_LSN = re.compile(rb'"_lsn"\s*:\s*([0-9]{1,19})')


class _FirstChange(msgspec.Struct):
    lsn: int = msgspec.field(name="_lsn")


class _FirstPage(msgspec.Struct):
    Documents: list[_FirstChange]


class CosmosChangeSource(MonitoredContainer):
    """`ChangeSource` over the SDK; one object may serve many ranges at once."""

    def lsn_of(self, continuation: Continuation) -> int | None:
        """The continuation as a number, None for a form that cannot be placed."""
        return lsn_of(continuation)

    async def read_page(
        self, target: FeedTarget, continuation: Continuation | None, *, max_documents: int
    ) -> Page:
        """Read one page after `continuation`; see `ChangeSource`."""
        answer = await self.ask(
            partial(
                _first_page, target=target, continuation=continuation, max_documents=max_documents
            ),
            target,
            judge=partial(self._judge_feed, target, continuation, max_documents=max_documents),
            stand_in=PAGE_STAND_IN,
        )
        position = _position(answer, continuation)
        page = None if answer.status == HTTP_NOT_MODIFIED else answer.body
        return Page(
            body=page,
            continuation=position,
            lsn=lsn_of(position),
            session_lsn=session_lsn(answer.session_token, target.range_id),
            session_token=answer.session_token,
            size_bytes=len(page or b""),
            document_count=answer.document_count if page else 0,
            request_units=answer.request_units,
        )

    async def resolve(self, target: FeedTarget, start: StartFrom) -> Position:
        """Turn `now` or a time into the position after which reading has to begin.

        A time counts in whole seconds, rounded down. Raises ValueError for the beginning, which
        is the absence of a position.
        """
        if start.kind is StartKind.BEGINNING:
            raise ValueError("the beginning of a feed has no position to resolve")
        when: Any = "Now" if start.time is None else start.time
        answer = await self.ask(
            partial(_first_page, target=target, start=when),
            target,
            judge=partial(self._judge_feed, target, None, max_documents=1),
            stand_in=PAGE_STAND_IN,
        )
        position = _position(answer, None)
        if start.kind is StartKind.TIME and answer.status != HTTP_NOT_MODIFIED:
            position = at_lsn(max(0, _first_lsn(answer.body, position) - 1))
        return Position(continuation=position, lsn=lsn_of(position))

    def _judge_feed(
        self,
        target: FeedTarget,
        continuation: Continuation | None,
        answer: Answer,
        *,
        max_documents: int,
    ) -> None:
        plain = answer.status == HTTP_BAD_REQUEST and not answer.substatus
        if plain and continuation is not None and max_documents == 1:
            raise ContinuationRefused(f"range {target.range_id}: {self.meaning(answer)}")
        self.judge_page(answer, max_documents=max_documents)


async def _first_page(
    request: Request,
    *,
    target: FeedTarget,
    continuation: Continuation | None = None,
    max_documents: int = 1,
    start: object = "Beginning",
) -> Answer:
    """One request: the query is abandoned after its page."""
    query: dict[str, Any] = (
        {"start_time": start, "feed_range": feed_range_json(target.feed_range)}
        if continuation is None
        else {"continuation": composite(continuation, target.feed_range, request.rid)}
    )
    pages = request.container.query_items_change_feed(
        max_item_count=max_documents, **query, **request.hooks
    ).by_page()
    try:
        await anext(pages, None)
    except ValueError as error:  # the SDK's word for a position in another container
        raise OtherContainer from error
    answer = request.taken()
    _check_body(answer.body, request.rid)
    return answer


def _position(answer: Answer, continuation: Continuation | None) -> Continuation:
    """The position after the answer; without an etag the old one, and none is an outage."""
    if answer.etag:
        return Continuation(answer.etag)
    if answer.status == HTTP_NOT_MODIFIED and continuation is not None:
        return continuation
    raise SourceUnavailable("the change feed answered without an etag, so the position is unknown")


def _check_body(body: bytes, rid: str) -> None:
    head = _BODY_RID.match(body[:_HEAD_BYTES])
    if head and head[1] != rid.encode():
        raise SourceRecreated(expected_rid=rid, found_rid=head[1].decode("ascii", "replace"))


def _first_lsn(body: bytes, position: Continuation) -> int:
    """The LSN of the first change of a page; too low rather than too high when in doubt."""
    try:
        return msgspec.json.decode(body, type=_FirstPage).Documents[0].lsn
    except (msgspec.DecodeError, IndexError):
        found = [int(match) for match in _ANY_LSN.findall(body)]
        return min(found, default=lsn_of(position) or 0)
