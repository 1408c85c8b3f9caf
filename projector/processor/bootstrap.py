"""Creates the leases that are missing, on one host at a time, and marks that it was done.

Order: initialised? -> lock -> leases -> mark -> unlock. Unlike .NET's it also mends what it finds
broken later: a mark without leases, leases deleted while hosts run. Ranges that start from
`now` or a time are anchored here, all of them before any is read: first in the target, then
in the lease, so that no change falls between two hosts' idea of "now".
Source: .NET v3 change feed processor, bootstrapper and partition synchronizer; Java SDK v4,
rule of the parents.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Any, Generic, TypeVar

import structlog

from projector.core.coverage import MissingLease, missing_leases
from projector.core.errors import (
    ConfigurationError,
    FeedRangeGone,
    FencedOut,
    ProjectorError,
    SourceRecreated,
)
from projector.core.lease import START_FROM_PROPERTY, Lease, check_mode
from projector.core.start import Position, StartKind
from projector.ports.feed import Beginning, BootstrapMarkers, FeedTarget, RangeClaim
from projector.processor.events import Event
from projector.processor.neighbours import Neighbours
from projector.processor.waiting import Failed, Patience, Stopped, is_passing, pause

CREATED_AT_ONCE = 25
LOCK_WAIT_SECONDS = 1.0
"""How often a host looks whether another one has set the leases up."""

UNLOCK_SECONDS = 2.0
"""What the removal of the lock gets: a lock that stays expires by itself."""

P = TypeVar("P")
T = TypeVar("T")

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Bootstrapper(Generic[P]):
    """Sets up the leases of one processor."""

    def __init__(self, *, neighbours: Neighbours[P], markers: BootstrapMarkers) -> None:
        self._neighbours = neighbours
        self._options = neighbours.options
        self._source = neighbours.source
        self._leases = neighbours.leases
        self._sink = neighbours.sink
        self._markers = markers
        self._room = asyncio.Semaphore(CREATED_AT_ONCE)
        self.listed: Sequence[Lease] | None = None
        """The last listing, if it still stands: None when leases were created after it."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Set up the leases, or wait until another host has; returns early on a stop.

        Raises: any error that does not say "retry", such as a missing container.
        """
        patience = Patience(
            clock=self._neighbours.clock,
            draw=self._neighbours.draw.random,
            stopping=stopping,
            helps=passes,
        )
        with suppress(Stopped):
            while not stopping.is_set():
                if await patience.until_done(self._ready, waits=_waits):
                    return
                await pause(self._neighbours.clock, LOCK_WAIT_SECONDS, until=stopping)

    async def _ready(self) -> bool:
        return await self._done() or await self.repair() is not None

    async def repair(self) -> int | None:
        """Create what is missing, under the lock, and say how many; None: another host holds it."""
        if not await self._markers.acquire_lock(seconds=self._options.lock_seconds):
            log.info(Event.BOOTSTRAP_WAITING, error="another host holds the bootstrap lock")
            return None
        try:
            created = await self._create_missing()
            self.listed = None
            await self._markers.mark_initialized()
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(UNLOCK_SECONDS):
                    await self._markers.release_lock()
        log.info(Event.BOOTSTRAPPED, created=created)
        return created

    async def _done(self) -> bool:
        """Whether the mark is there and the leases are too."""
        if not await self._markers.is_initialized():
            return False
        missing = await self._missing()
        if missing:
            tokens = [part.token for part in missing]
            log.warning(Event.LEASES_REPAIRED, missing=tokens, reason="marked, but not there")
        return not missing

    async def _missing(self) -> Sequence[MissingLease]:
        leases = await self._leases.list_leases()
        check_mode(leases)
        _check_readable(leases)
        self.listed = leases
        return missing_leases(await self._source.physical_ranges(), leases)

    async def _create_missing(self) -> int:
        leases = await _all(self._anchored(part) for part in await self._missing())
        return sum(await _all(self._create(lease) for lease in leases))

    async def _create(self, lease: Lease) -> bool:
        async with self._room:
            return await self._leases.create(lease)

    async def _anchored(self, part: MissingLease) -> Lease:
        """The lease to create: 1. resolve its start; 2. commit it in the target; 3. keep it."""
        lease = Lease(
            id=str(part.token), token=part.token, version=part.version, feed_range=part.feed_range
        )
        start = self._options.start_from
        if start.kind is StartKind.BEGINNING:
            return lease
        async with self._room:
            anchor = await self._source.resolve(
                FeedTarget(
                    lease_token=part.token, feed_range=part.feed_range, range_id=part.range_id
                ),
                start,
            )
            if not await self._committed(part, anchor):
                return lease
        return Lease(
            id=lease.id,
            token=part.token,
            version=part.version,
            feed_range=part.feed_range,
            continuation=anchor.continuation,
            properties={START_FROM_PROPERTY: str(start)},
        )

    async def _committed(self, part: MissingLease, anchor: Position) -> bool:
        """Write the anchor to the target; False when the range has to be opened first.

        So it is when the target copies another container so far, and when the range was retired
        or is being taken by somebody else.
        """
        claim = RangeClaim(
            container_rid=self._neighbours.container_rid,
            processor_name=self._options.processor_name,
            lease_token=part.token,
            feed_range=part.feed_range,
            owner=self._options.instance_name,
        )
        position = Position(continuation=anchor.continuation, lsn=anchor.lsn)
        try:
            grant = await self._sink.open(claim)
            if grant.keeps_positions:
                await self._sink.begin(
                    grant, Beginning(position=position, anchored_from=str(self._options.start_from))
                )
        except (SourceRecreated, FencedOut):
            return False
        return True


async def _waits(failed: Failed) -> None:
    error = failed.error
    log.warning(
        Event.BOOTSTRAP_WAITING,
        error=f"{type(error).__name__}: {error}",
        seconds=round(failed.seconds, 3),
    )


def passes(error: ProjectorError) -> bool:
    """Whether waiting helps; a partition that splits this moment is another one the next."""
    return is_passing(error) or isinstance(error, FeedRangeGone)


def _check_readable(leases: Sequence[Lease]) -> None:
    """One broken lease costs its own keys; when all are, they are somebody else's."""
    broken = [lease.unreadable for lease in leases if lease.unreadable is not None]
    if broken and len(broken) == len(leases):
        raise ConfigurationError(broken[0])


async def _all(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run them together, wait for all, then raise the first error if there is one."""
    results = await asyncio.gather(*works, return_exceptions=True)
    done: list[T] = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        done.append(result)
    return done
