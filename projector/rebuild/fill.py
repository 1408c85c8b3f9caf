"""Fills a generation: takes part after part until none is left, then builds what is built once.

Any number of processes do this for one generation at once, and each may be killed at any point; what a part
is, and why nothing is lost or doubled, is said in `projector.ports.filling`. Here is the order:

1. the container is cut into parts, one per physical partition; 2. a part is claimed; 3. where the source
stands is noted as its anchor; 4. its pages are written, the next one being on its way meanwhile; 5. when no
part is left, keys, totals and indexes are built and the ranges placed, each at its anchor; 6. the leases
are written, with these positions as bookmarks; 7. the generation is said to be filled: hosts follow.

A part whose partition was split goes on as its children from the same place; after a merge, after the service
went back, and where a scan was cut off by a split, it is begun anew in a lineage above. Memory: two pages
for each part that this process loads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import structlog

from projector.core.coverage import missing_leases
from projector.core.errors import (
    ContinuationRefused,
    FeedError,
    FeedRangeGone,
    FencedOut,
    PageTooLarge,
    ProjectorError,
    SinkUnavailable,
)
from projector.core.lease import Lease
from projector.core.pacing import page_size
from projector.core.splits import Kept, home_of, merged_away, succeed
from projector.core.start import NOW, Position
from projector.ports.feed import (
    BootstrapMarkers,
    ChangeSource,
    Clock,
    FeedTarget,
    LeaseStore,
    PhysicalRange,
)
from projector.ports.filling import Filled, Finishing, FinishStep, NotLoaded, Part, PartStore
from projector.processor.refusals import Refusals
from projector.processor.waiting import Failed, Patience, is_passing
from projector.rebuild.pages import Delivered, FromBefore, Pages
from projector.reconcile.tasks import all_of, both_of

LOOK_SECONDS = 0.5
KEEP_SECONDS = 5.0
"""How often a part is held anew: an answer may take longer than a silent process is waited for."""

ANSWERS_FROM_BEFORE = 8
"""So many in a row, with growing waits between them, are no replica that is behind."""

PART_LOADED = "part_loaded"
PART_WAITS = "part_waits"
PART_BEGUN_ANEW = "part_begun_anew"
GENERATION_FILLED = "generation_filled"
GENERATION_WAITS = "generation_waits"

T = TypeVar("T")

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FillOptions:
    """How much at a time.

    Attributes:
        page_size: documents asked for per page.
        parts_at_once: of this process.
    """

    page_size: int = 5000
    parts_at_once: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class FillNeighbours:
    """What a filling needs of the world.

    Attributes:
        expected: how many documents the container has, for progress alone; None: nobody says.
        leases, markers: of the processor that will follow the feed for this generation.
        done: says that the generation is filled.
    """

    source: ChangeSource
    pages: Pages
    parts: PartStore
    finishing: Finishing
    leases: LeaseStore
    markers: BootstrapMarkers
    clock: Clock
    expected: Callable[[], Awaitable[int | None]]
    done: Callable[[Filled], Awaitable[None]]


class _Anew(Exception):
    """What was read of the part counts no more."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Filler:
    """One process's share of filling one generation."""

    def __init__(self, neighbours: FillNeighbours, *, options: FillOptions | None = None) -> None:
        """Fill with these neighbours."""
        self._n = neighbours
        self._parts = neighbours.parts
        self._options = options or FillOptions()
        self._patience = Patience(clock=neighbours.clock)
        self._held: dict[int, tuple[Part, str | None]] = {}

    async def run(self) -> None:
        """Fill until the generation is filled, by whomever.

        Raises: any error that waiting does not mend; what was loaded stays.
        """
        while True:
            try:
                return await self._fill()
            except NotLoaded:
                log.warning(GENERATION_WAITS, error="a failover took back what was loaded")

    async def _fill(self) -> None:
        await self._patience.until_done(self._cut)
        workers = (self._load_parts() for _ in range(self._options.parts_at_once))
        try:
            await all_of(workers, name="fill")
        finally:
            await self._release_all()
        for step in FinishStep:
            await self._finish(step)
        await self._patience.until_done(self._hand_over)

    async def _finish(self, step: FinishStep) -> None:
        attempt = partial(self._n.finishing.step, step)
        while not await self._patience.until_done(attempt, waits=self._finishing_waits):
            await self._n.clock.sleep(LOOK_SECONDS)

    async def _finishing_waits(self, failed: Failed) -> None:
        """Say for what: a full disk shows here, where keys and indexes are built."""
        error = str(failed.error)
        log.warning(GENERATION_WAITS, error=error)
        with suppress(SinkUnavailable):  # as full as before
            await self._n.finishing.waits(error)

    async def _cut(self) -> None:
        """One part per physical partition, unless there are parts."""
        physical = await self._n.source.physical_ranges()
        leases = [
            Lease(
                id=str(one.token), token=one.token, version=one.version, feed_range=one.feed_range
            )
            for one in missing_leases(physical, [])
        ]
        await self._parts.cut(leases, expected=await self._expected())

    async def _expected(self) -> int | None:
        """How many documents there are; None when nobody says. Nothing waits for the answer."""
        try:
            return await self._n.expected()
        except FeedError:
            return None

    async def _load_parts(self) -> None:
        """Part after part; ends when all are loaded, also those of others."""
        while True:
            part = await self._patience.until_done(self._parts.claim)
            if part is not None:
                await self._load_claimed(part)
            elif await self._patience.until_done(self._parts.left):
                await self._n.clock.sleep(LOOK_SECONDS)
            else:
                return

    async def _load_claimed(self, part: Part) -> None:
        self._held[part.part_id] = part, None
        try:
            loading = _Loading(self._n, part, options=self._options, patience=self._patience)
            await _kept(loading)
        except FencedOut as error:
            log.info(PART_WAITS, part=part.lease.token, error=str(error))
        except ProjectorError as error:
            self._held[part.part_id] = part, str(error)
            raise
        del self._held[part.part_id]

    async def _release_all(self) -> None:
        """Give back what this process holds, as far as the target lets it; the rest expires."""
        for part, reason in self._held.values():
            try:
                await self._parts.release(part, error=reason)
            except ProjectorError as error:
                log.info(PART_WAITS, part=part.lease.token, error=str(error))
        self._held.clear()

    async def _hand_over(self) -> None:
        """The leases, with their bookmarks, before anybody may follow; then the word."""
        filled = await self._n.finishing.filled()
        for lease in filled.bookmarks:
            if not await self._n.leases.create(lease):
                await self._correct(lease)
        await self._n.markers.mark_initialized()
        await self._n.done(filled)
        log.info(GENERATION_FILLED, documents=filled.documents)

    async def _correct(self, lease: Lease) -> None:
        """One is there already: of a process that was killed here, or of a generation of that name."""
        found = await self._n.leases.read(lease.token)
        if found.continuation is None and found.owner is None:
            await self._n.leases.replace(
                replace(found, continuation=lease.continuation, properties=lease.properties)
            )


class _Loading:
    """One part that is held, from where it is to its end."""

    def __init__(
        self, neighbours: FillNeighbours, part: Part, *, options: FillOptions, patience: Patience
    ) -> None:
        self._n = neighbours
        self._part = part
        self._error: str | None = None
        self._patience = patience
        self._size = page_size(options.page_size)

    async def run(self) -> None:
        """Load it; returns when it is loaded, or when its children have taken its place.

        Raises: FencedOut when somebody else holds it; any error that waiting does not mend.
        """
        while True:
            physical = await self._until_done(self._n.source.physical_ranges)
            home = home_of(self._part.lease, physical)
            if home is None:
                return await self._replace(physical)
            try:
                await self._load(home.id)
            except FeedRangeGone:
                continue
            except (_Anew, ContinuationRefused) as reason:
                await self._begin_anew(home.id, str(reason))
            else:
                log.info(PART_LOADED, part=self._part.lease.token, lineage=self._part.lineage)
                return None

    async def keep(self) -> None:
        """Go on holding the part, whatever the answer to a read waits for; ends when it is another's."""
        refusals = Refusals(f"holding part {self._part.lease.token}")
        while True:
            await self._n.clock.sleep(KEEP_SECONDS)
            try:
                with refusals.told():
                    await self._n.parts.hold(self._part, error=self._error)
            except FencedOut:
                return  # the next write finds it out
            except ProjectorError:
                continue

    async def _load(self, home: str) -> None:
        lease = self._part.lease
        if merged_away(lease, home):
            raise _Anew("its partition was merged")
        if lease.feed_range is None:
            raise ValueError(f"part {lease.token} does not tell its feed range")
        target = FeedTarget(lease_token=lease.token, feed_range=lease.feed_range, range_id=home)
        if self._part.anchor is None:
            anchor = await self._until_done(lambda: self._n.source.resolve(target, NOW))
            self._part = await self._until_done(lambda: self._n.parts.anchor(self._part, anchor))
        page = await self._read(target, self._part.place)
        while not page.last:
            page, _ = await both_of(
                self._read(target, page.place), self._write(page), name=f"range:{lease.token}:fill"
            )
        await self._write(page)

    async def _read(self, target: FeedTarget, place: str | None) -> Delivered:
        anchor = self._anchor()
        while True:
            asked = self._size.current
            try:
                page = await self._until_done(
                    partial(self._n.pages.read, target, place, anchor=anchor, max_documents=asked),
                    helps=is_passing if asked == 1 else _helps,
                )
            except PageTooLarge:
                self._size = self._size.halved()
            else:
                self._size = self._size.recovered()
                return page

    async def _write(self, page: Delivered) -> None:
        load = self._n.pages.load(page, anchor=self._anchor())
        self._part = await self._until_done(lambda: self._n.parts.write(self._part, load))
        self._error = None

    def _anchor(self) -> Position:
        if self._part.anchor is None:
            raise ValueError(f"part {self._part.lease.token} is read without an anchor")
        return self._part.anchor

    async def _begin_anew(self, home: str, reason: str) -> None:
        log.warning(PART_BEGUN_ANEW, part=self._part.lease.token, reason=reason)
        range_id = home if self._part.lease.version == 1 else None
        self._part = await self._until_done(
            lambda: self._n.parts.begin_anew(self._part, range_id=range_id)
        )

    async def _replace(self, physical: Sequence[PhysicalRange]) -> None:
        """Its children go on: from its place in the feed; a scan's place means nothing to them."""
        found = succeed(self._part.lease, physical, continuation=None)
        if isinstance(found, Kept):  # pragma: no cover - it has no home
            return
        anew = self._part.place is not None and not self._n.pages.survives_splits
        await self._until_done(lambda: self._n.parts.replace(self._part, found.children, anew=anew))

    async def _until_done(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        helps: Callable[[ProjectorError], bool] = is_passing,
    ) -> T:
        patience = replace(self._patience, helps=helps)
        return await patience.until_done(attempt, waits=self._waits)

    async def _waits(self, failed: Failed) -> None:
        """Go on holding the part; an error of the target says so by itself."""
        error = failed.error
        if isinstance(error, FromBefore) and failed.failures >= ANSWERS_FROM_BEFORE:
            raise _Anew(str(error))
        self._error = str(error)
        log.info(PART_WAITS, part=self._part.lease.token, error=self._error)
        with suppress(SinkUnavailable):
            await self._n.parts.hold(self._part, error=self._error)


async def _kept(loading: _Loading) -> None:
    """Load a part while it is held; a process that is stopped holds it no longer."""
    keeping = asyncio.get_running_loop().create_task(loading.keep(), name="fill:keep")
    try:
        await loading.run()
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


def _helps(error: ProjectorError) -> bool:
    return is_passing(error) and not isinstance(error, PageTooLarge)
