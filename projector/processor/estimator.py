"""How far each range is behind, asked of the service; owns no lease and writes nothing.

One page of one document is read after each bookmark: its first LSN against the session LSN
gives the gap, its time the lag. A lease whose partition was split is asked about piece by
piece. A lease without bookmark costs no read: its gap is unknown, not the whole history.
Source: .NET v3 change feed processor, estimator; KEDA's scaler for the same numbers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import msgspec

from projector.core.coverage import range_of
from projector.core.errors import ProjectorError
from projector.core.lease import Lease
from projector.core.names import Continuation, InstanceName, LeaseToken
from projector.core.ranges import FeedRange
from projector.core.states import gap_after_page
from projector.ports.feed import ChangeSource, Clock, FeedTarget, LeaseStore, PhysicalRange

ASKED_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeEstimate:
    """How far one range is behind.

    Attributes:
        lsn: the bookmark as a number, None when there is none or it cannot be placed.
        gap_changes: LSNs not read yet; None while unknown.
        lag_seconds: age of the oldest unread change, 0 when there is none, None while unknown.
        request_units: cost of the reads.
        error: why something is unknown; None when all is known.
        unreadable: the lease document cannot be understood; `error` says why.
    """

    lease_token: LeaseToken
    feed_range: FeedRange | None
    owner: InstanceName | None
    continuation: Continuation | None
    written_at: datetime | None
    lsn: int | None = None
    gap_changes: int | None = None
    lag_seconds: float | None = None
    request_units: float = 0.0
    error: str | None = None
    unreadable: bool = False

    @property
    def gap_at_least(self) -> int:
        """The gap for a scaler that must not take unknown for idle: 1 while unknown."""
        return 1 if self.gap_changes is None else self.gap_changes


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Keys that were read up to `continuation`; None is the start of the feed."""

    feed_range: FeedRange
    continuation: Continuation | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """How far some spans together are behind; see `RangeEstimate`."""

    gap_changes: int | None = None
    lag_seconds: float | None = None
    request_units: float = 0.0
    error: str | None = None


class _Item(msgspec.Struct):
    lsn: int | None = msgspec.field(default=None, name="_lsn")
    ts: int | None = msgspec.field(default=None, name="_ts")


class _Body(msgspec.Struct):
    documents: list[_Item] = msgspec.field(default_factory=list, name="Documents")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unread:
    gap: int | None
    oldest: datetime | None
    request_units: float


class Estimator:
    """Estimates all ranges of one processor."""

    def __init__(self, *, source: ChangeSource, leases: LeaseStore, clock: Clock) -> None:
        self._source = source
        self._leases = leases
        self._clock = clock
        self._room = asyncio.Semaphore(ASKED_AT_ONCE)

    async def estimate(self) -> Sequence[RangeEstimate]:
        """One estimate per lease, in listing order; empty while there are no leases.

        Raises: errors of listing leases or partitions; a read that fails is told in `error`.
        """
        leases = await self._leases.list_leases()
        if not any(lease.continuation for lease in leases):
            return [_bare(self._source, lease) for lease in leases]
        physical = await self._source.physical_ranges()
        return await asyncio.gather(*(self._one(lease, physical) for lease in leases))

    async def behind(self, spans: Sequence[Sequence[Span]]) -> Sequence[Behind]:
        """How far each group of spans is behind, whatever the leases say.

        Raises: errors of listing partitions; a read that fails is told in `error`.
        """
        if not spans:
            return ()
        physical = await self._source.physical_ranges()
        return await asyncio.gather(*(self._behind(group, physical) for group in spans))

    async def _one(self, lease: Lease, physical: Sequence[PhysicalRange]) -> RangeEstimate:
        bare = _bare(self._source, lease)
        keys = range_of(lease, physical)
        if lease.continuation is None or keys is None:
            return bare
        span = Span(feed_range=keys, continuation=lease.continuation)
        behind = await self._behind([span], physical)
        return replace(
            bare,
            gap_changes=behind.gap_changes,
            lag_seconds=behind.lag_seconds,
            request_units=behind.request_units,
            error=behind.error,
        )

    async def _behind(self, spans: Sequence[Span], physical: Sequence[PhysicalRange]) -> Behind:
        try:
            unread = [
                await self._ask(span, part)
                for span in spans
                for part in physical
                if part.feed_range.overlaps(span.feed_range)
            ]
        except ProjectorError as error:
            return Behind(error=f"{type(error).__name__}: {error}")
        return _summed(unread, self._clock.now())

    async def _ask(self, span: Span, part: PhysicalRange) -> _Unread:
        target = FeedTarget(
            lease_token=LeaseToken(part.id),
            feed_range=span.feed_range.clip(part.feed_range),
            range_id=part.id,
        )
        async with self._room:
            page = await self._source.read_page(target, span.continuation, max_documents=1)
        if page.body is None:
            return _Unread(gap=0, oldest=None, request_units=page.request_units)
        first = _first_item(page.body)
        return _Unread(
            gap=gap_after_page(session_lsn=page.session_lsn, first_lsn=first.lsn),
            oldest=None if first.ts is None else datetime.fromtimestamp(first.ts, UTC),
            request_units=page.request_units,
        )


def _bare(source: ChangeSource, lease: Lease) -> RangeEstimate:
    return RangeEstimate(
        lease_token=lease.token,
        feed_range=lease.feed_range,
        owner=lease.owner,
        continuation=lease.continuation,
        written_at=lease.timestamp,
        lsn=None if lease.continuation is None else source.lsn_of(lease.continuation),
        unreadable=lease.unreadable is not None,
        error=lease.unreadable or (None if lease.continuation else "the range has no bookmark yet"),
    )


def _first_item(body: bytes) -> _Item:
    """The first document's LSN and time; both None when the page cannot be read."""
    try:
        documents = msgspec.json.decode(body, type=_Body).documents
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Item()
    return documents[0] if documents else _Item()


def _summed(unread: Sequence[_Unread], now: datetime) -> Behind:
    gaps = [part.gap for part in unread]
    known = [gap for gap in gaps if gap is not None]
    complete = bool(gaps) and len(known) == len(gaps)
    oldest = [part.oldest for part in unread if part.oldest is not None]
    untold = any(part.oldest is None and part.gap != 0 for part in unread)
    gap = sum(known) if complete else None
    lag: float | None = None
    if oldest and not untold:
        lag = max(0.0, (now - min(oldest)).total_seconds())
    elif gap == 0:
        lag = 0.0
    return Behind(
        gap_changes=gap,
        lag_seconds=lag,
        request_units=sum(part.request_units for part in unread),
        error=None if complete else "the service did not tell its session LSN",
    )


def gap_in_all(estimates: Sequence[RangeEstimate]) -> int:
    """The sum for a scaler: 1 without leases, so that a first host comes up.

    Source: .NET v3 change feed processor, remaining work estimator.
    """
    return sum(estimate.gap_at_least for estimate in estimates) if estimates else 1
