"""From an acquired lease to a position to read from: fence, look, decide, write down.

Nothing is looked at before the fence (docs/explanation/leases-and-fencing.md), and where a range
begins is committed in the target before its lease says so and before any page is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, TypeVar

import structlog

from projector.core.coverage import Physical
from projector.core.errors import ProjectorError, SinkError, Throttled
from projector.core.lease import DELIVERED_PROPERTY, START_FROM_PROPERTY, Lease
from projector.core.names import Continuation
from projector.core.ranges import FeedRange
from projector.core.splits import RANGE_ID_PROPERTY, home_of, merged_away
from projector.core.start import (
    NOW,
    Bookmark,
    Position,
    StartFrom,
    StartKind,
    StartOver,
    StartReason,
    decide_start,
)
from projector.core.states import RangeState
from projector.ports.feed import Beginning, FeedTarget, FormerOwner, Grant, RangeClaim
from projector.processor.events import Event
from projector.processor.lease_keeper import LeaseKeeper
from projector.processor.neighbours import Neighbours
from projector.processor.status import RangeStatus, Role
from projector.processor.waiting import Failed, Patience

P = TypeVar("P")

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The range may be read from `position`; `properties` go into its lease with each bookmark."""

    grant: Grant
    target: FeedTarget
    position: Position
    properties: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgrown:
    """The partitions under the lease changed: only its children may read, after `continuation`."""

    lease: Lease
    continuation: Continuation | None
    retired: bool


class Opening(Generic[P]):
    """Opens one range, as often as needed."""

    def __init__(
        self,
        *,
        neighbours: Neighbours[P],
        keeper: LeaseKeeper,
        status: RangeStatus,
        patience: Patience,
    ) -> None:
        self._neighbours = neighbours
        self._source = neighbours.source
        self._sink = neighbours.sink
        self._start_from = neighbours.options.start_from
        self._keeper = keeper
        self._status = status
        self._patience = patience
        self._taken_from = _taken_from(keeper.seen, neighbours)

    async def run(self, *, went_back: bool) -> Started | Outgrown:
        """Open the range.

        1. Fence it in the target. 2. Re-read the bookmark. 3. Find its partition.
        4. Decide where it starts. 5. Commit that in the target. 6. Write an anchor to the lease.

        Args:
            went_back: the service's LSNs lie below the position: start over in a new lineage.

        Raises: SourceRecreated, FencedOut, LeaseLost, LeaseMissing, Stopped.
        """
        self._status.wait(Role.OPENER, RangeState.STARTING)
        self._status.reopening()
        grant = await self._patience.until_done(
            lambda: self._sink.open(self.claim()),
            waits=self.waits,
            seen=partial(self._status.attempt, Role.OPENER),
        )
        self._status.granted(grant)
        lease = await self._patience.until_done(self._keeper.refresh, waits=self.waits)
        decision = self._decide(grant, lease)
        home = await self._patience.until_done(self._home, waits=self.waits)
        if grant.retired or home is None:
            return Outgrown(
                lease=lease,
                continuation=_inherited(lease, decision),
                retired=grant.retired,
            )
        target = FeedTarget(lease_token=lease.token, feed_range=own_range(lease), range_id=home.id)
        if went_back:
            decision = StartOver(reason=StartReason.NO_STORED_POSITION)
        if isinstance(decision, StartOver):
            started = await self._start_over(grant, target, lease, decision, went_back=went_back)
        else:
            started = await self._resume(grant, target, lease, decision)
        self._status.started(started.position, replay_open=started.grant.replay_open, home=home)
        return started

    def claim(self) -> RangeClaim:
        """Who wants which range."""
        lease = self._keeper.lease
        return RangeClaim(
            container_rid=self._neighbours.container_rid,
            processor_name=self._neighbours.options.processor_name,
            lease_token=lease.token,
            feed_range=own_range(lease),
            owner=self._neighbours.options.instance_name,
            taken_from=self._taken_from,
        )

    def _decide(self, grant: Grant, lease: Lease) -> StartOver | Position:
        bookmark = None
        if lease.continuation:
            bookmark = Bookmark(
                continuation=lease.continuation,
                lsn=self._source.feed.lsn_of(lease.continuation),
                anchored_from=lease.anchored_from,
            )
        return decide_start(
            bookmark=bookmark,
            stored=grant.stored,
            replay_requested=grant.replay_requested,
            target_keeps_positions=grant.keeps_positions,
            start_from=self._start_from,
        )

    async def _home(self) -> Physical | None:
        """The partition of the lease; a map that says "moved" is asked for afresh."""
        lease = self._keeper.lease
        home = home_of(lease, await self._source.recent_ranges())
        if home is None:
            home = home_of(lease, await self._source.physical_ranges())
        return home

    async def _start_over(
        self,
        grant: Grant,
        target: FeedTarget,
        lease: Lease,
        decision: StartOver,
        *,
        went_back: bool,
    ) -> Started:
        start = self._start_from
        if went_back and start.kind is StartKind.NOW and grant.read_since is not None:
            # What was written between the last read and now must not be passed over.
            start = StartFrom(kind=StartKind.TIME, time=grant.read_since)
        beginning = await self._patience.until_done(
            lambda: self._beginning(grant, target, start), waits=self.waits
        )
        beginning = replace(
            beginning, raise_lineage=went_back or merged_away(lease, target.range_id)
        )
        grant = await self._begin(grant, beginning)
        log.info(
            Event.RANGE_STARTED_OVER,
            lease=lease.token,
            reason="source_went_back" if went_back else decision.reason.value,
            start_from=str(self._start_from),
        )
        started = Started(
            grant=grant,
            target=target,
            position=beginning.position,
            properties=_properties(lease, target, start_from=self._start_from),
        )
        await self._write_anchor(started)
        return started

    async def _beginning(self, grant: Grant, target: FeedTarget, start: StartFrom) -> Beginning:
        """Where START_FROM lies now; from the beginning that is a replay with a mark to pass."""
        if start.kind is not StartKind.BEGINNING:
            anchor = await self._source.resolve(target, start)
            position = Position(continuation=anchor.continuation, lsn=anchor.lsn)
            return Beginning(position=position, anchored_from=str(start))
        nowhere = Position(continuation=None, lsn=None)
        if not grant.keeps_positions:
            return Beginning(position=nowhere)
        mark = await self._source.resolve(target, NOW)
        return Beginning(position=nowhere, replay_mark_lsn=mark.lsn)

    async def _resume(
        self, grant: Grant, target: FeedTarget, lease: Lease, position: Position
    ) -> Started:
        merged = merged_away(lease, target.range_id)
        if position != grant.stored or merged:
            grant = await self._begin(grant, Beginning(position=position, raise_lineage=merged))
        log.info(Event.RANGE_RESUMED, lease=lease.token, lsn=position.lsn)
        started = Started(
            grant=grant,
            target=target,
            position=position,
            properties=_properties(lease, target, start_from=None),
        )
        # A quiet range may not get another bookmark for days.
        if (position.continuation, started.properties) != (lease.continuation, lease.properties):
            await self._write_anchor(started)
        return started

    async def _begin(self, grant: Grant, beginning: Beginning) -> Grant:
        if not grant.keeps_positions:
            return grant
        return await self._patience.until_done(
            lambda: self._sink.begin(grant, beginning), waits=self.waits
        )

    async def _write_anchor(self, started: Started) -> None:
        """The lease says where the range is read from before it is read."""
        continuation = started.position.continuation
        if continuation is not None:
            await self._patience.until_done(
                lambda: self._keeper.checkpoint(continuation, started.properties),
                waits=self.waits,
            )

    async def waits(self, failed: Failed) -> None:
        """Show that the range waits, and why."""
        if self._status.wait(Role.OPENER, waiting_state(failed.error), failed.error):
            await self._neighbours.observer.failed(self._keeper.token, failed.error)


def _taken_from(seen: Lease, neighbours: Neighbours[P]) -> FormerOwner | None:
    """Who had the lease when it was taken; None: nobody, or an earlier run of this host."""
    options = neighbours.options
    if seen.owner is None or seen.owned_by(options.instance_name):
        return None
    expired = seen.expired(
        now=neighbours.clock.now(), expiration_seconds=options.expiration_seconds
    )
    return FormerOwner(name=seen.owner, expired=expired)


def waiting_state(error: ProjectorError) -> RangeState:
    """The state that a wait for this error's neighbour shows."""
    match error:
        case SinkError():
            return RangeState.WAITING_FOR_TARGET
        case Throttled():
            return RangeState.THROTTLED
        case _:
            return RangeState.WAITING_FOR_SOURCE


def own_range(lease: Lease) -> FeedRange:
    """The keys of a lease; the controller fills them in before it acquires one of an old writer."""
    if lease.feed_range is None:
        raise ValueError(f"lease {lease.token} does not tell its feed range")
    return lease.feed_range


def _inherited(lease: Lease, decision: StartOver | Position) -> Continuation | None:
    """Where children go on: as the range itself would; without a position they start over too."""
    match decision:
        case Position():
            return decision.continuation
        case StartOver(reason=StartReason.REPLAY_REQUESTED | StartReason.NO_BOOKMARK):
            return None
        case StartOver():
            return lease.continuation


def _properties(
    lease: Lease, target: FeedTarget, *, start_from: StartFrom | None
) -> dict[str, str]:
    properties = dict(lease.properties)
    if lease.version == 1:
        properties[RANGE_ID_PROPERTY] = target.range_id
    if start_from is not None:
        properties[START_FROM_PROPERTY] = str(start_from)
        properties.pop(DELIVERED_PROPERTY, None)
    return properties
