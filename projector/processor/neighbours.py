"""Everything a range needs from outside, in one value; and the change source that all ranges share.

Sixteen ranges meet an aged credential at once; the client must be rebuilt once. They also ask
for the partition map at once; one fresh answer serves them all. A container that is another one
raises a doubt here, whoever meets it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from projector.core.errors import SourceRecreated
from projector.core.names import Holder
from projector.core.start import Position, StartFrom
from projector.ports.budget import Allowance
from projector.ports.feed import (
    ChangeSource,
    Clock,
    FeedTarget,
    LeaseStore,
    PhysicalRange,
    Sink,
    Sweeper,
)
from projector.processor.events import Event
from projector.processor.notifications import Notifications
from projector.processor.options import ProcessorOptions

RECHECK_SECONDS = 5.0
"""How often a container that was created again is looked at."""

MAP_SECONDS = 2.0
"""How old a partition map may be for a first look; decisions that move leases ask afresh."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class SharedSource:
    """What the readers of one `ChangeSource` share: its map, its client, and doubts about it."""

    def __init__(self, source: ChangeSource, clock: Clock) -> None:
        self.feed = source
        """For what each range asks alone: pages, and what a position means."""
        self._clock = clock
        self._rebuilding = asyncio.Lock()
        self._mapping = asyncio.Lock()
        self._map: Sequence[PhysicalRange] = ()
        self._map_at: float | None = None
        self._doubts: list[SourceRecreated] = []
        self._doubted = asyncio.Event()
        self.generation = 0
        """Number of rebuilds so far; a reader remembers it before each read."""

    async def resolve(self, target: FeedTarget, start: StartFrom) -> Position:
        """Turn `now` or a time into a position."""
        with self._doubting():
            return await self.feed.resolve(target, start)

    async def physical_ranges(self) -> Sequence[PhysicalRange]:
        """The live partitions, lowest first, read afresh."""
        asked_at = self._clock.monotonic()
        async with self._mapping:
            if self._map_at is None or self._map_at <= asked_at:
                began_at = self._clock.monotonic()
                with self._doubting():
                    self._map = await self.feed.physical_ranges()
                self._map_at = began_at
            return self._map

    async def recent_ranges(self) -> Sequence[PhysicalRange]:
        """The live partitions, at most two seconds old."""
        if self._map_at is not None and self._clock.monotonic() - self._map_at < MAP_SECONDS:
            return self._map
        return await self.physical_ranges()

    def doubt(self, error: SourceRecreated) -> None:
        """The container may be another one than this host reads, or the target copies another."""
        self._doubts = [error]
        self._doubted.set()

    def reassure(self) -> None:
        """It is the one that this host reads."""
        self._doubted.clear()

    async def in_doubt(self) -> SourceRecreated:
        """Wait for a doubt; the newest one."""
        await self._doubted.wait()
        return self._doubts[-1]

    @contextmanager
    def _doubting(self) -> Iterator[None]:
        try:
            yield
        except SourceRecreated as error:
            self.doubt(error)
            raise

    async def rebuild(self, seen_generation: int) -> None:
        """Rebuild the client, unless that happened since `seen_generation` was noted."""
        async with self._rebuilding:
            if self.generation != seen_generation:
                return
            await self.feed.rebuild()
            self.generation += 1
            log.info(Event.SOURCE_REBUILT, generation=self.generation)


P = TypeVar("P")


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours(Generic[P]):
    """Shared by all ranges of a host."""

    source: SharedSource
    allowance: Allowance
    leases: LeaseStore
    sink: Sink[P]
    sweeper: Sweeper
    clock: Clock
    draw: random.Random
    observer: Notifications
    options: ProcessorOptions
    me: Holder
    container_rid: str
