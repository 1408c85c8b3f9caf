"""A sink whose replays end by a sweep: the target's own sink, and point reads beside it.

The target knows which keys a replay did not see; only the container knows whether they are gone.
This joins the two, so that neither has to know the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import structlog

from projector.core.names import LeaseToken
from projector.core.start import StoredPlace
from projector.ports.feed import Applied, Beginning, Grant, Page, RangeClaim, RangeReport, Sink
from projector.reconcile.sweep import Sweeper

P = TypeVar("P")

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

REPLAY_SWEPT = "replay_swept"


class SettlingSink(Generic[P]):
    """`Sink` that passes everything on, except that `settle` sweeps."""

    def __init__(self, *, sink: Sink[P], sweeper: Sweeper) -> None:
        self._sink = sink
        self._sweeper = sweeper
        self._session_tokens: dict[LeaseToken, str] = {}

    async def open(self, claim: RangeClaim) -> Grant:
        """Fence the range; see `Sink`."""
        return await self._sink.open(claim)

    async def begin(self, grant: Grant, beginning: Beginning) -> Grant:
        """Commit where the range starts; see `Sink`."""
        return await self._sink.begin(grant, beginning)

    def prepare(self, grant: Grant, page: Page) -> P:
        """Decode a page; see `Sink`."""
        return self._sink.prepare(grant, page)

    async def apply(self, grant: Grant, pages: Sequence[P], place: StoredPlace) -> Applied:
        """Write pages and their place; see `Sink`."""
        return await self._sink.apply(grant, pages, place)

    async def report(self, reports: Sequence[RangeReport]) -> frozenset[LeaseToken]:
        """Store conditions; see `Sink`."""
        return await self._sink.report(reports)

    def polled(self, token: LeaseToken, page: Page) -> None:
        """Remember how far the service was: no point read of a sweep may be older."""
        if page.session_token is not None:
            self._session_tokens[token] = page.session_token

    async def settle(self, grant: Grant) -> None:
        """Sweep what the replay did not see, then close it; see `Sink`."""
        token = grant.claim.lease_token
        done = await self._sweeper.settle(grant, session_token=self._session_tokens.get(token))
        log.info(REPLAY_SWEPT, lease=token, removed=done.removed, projected=done.projected)
