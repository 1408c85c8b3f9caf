"""Lists the leases from time to time and takes this host's share of them.

The loop never ends but by a stop: what fails in a cycle is logged, and the next cycle runs.
Conflicts mean that others are taking leases too; then the rest waits for a fresh listing. A
listing also shows leases that are ours but not running, leases that somebody took or reset,
and keys that no lease covers.
Source: .NET v3 change feed processor, load balancer; `projector.core.balance` for what to take.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Generic, TypeVar

import structlog

from projector.core.balance import Appetite, Fleet, choose, cost_seconds, stretch, survey
from projector.core.coverage import gaps, overlapping, spare_leases
from projector.core.errors import Disposition, LeaseError, LeaseLost, ProjectorError
from projector.core.lease import Lease, name_shared
from projector.core.names import LeaseToken
from projector.ports.feed import Clock
from projector.processor.bootstrap import Bootstrapper
from projector.processor.controller import Controller
from projector.processor.events import Event
from projector.processor.namesakes import Namesakes
from projector.processor.neighbours import Neighbours
from projector.processor.waiting import pause

TAKEN_AT_ONCE = 8
"""Acquisitions under way at the same time."""

RELIST_SECONDS = 1.0
"""Wait before a fresh listing when this one turned out to be stale."""

MORE_SECONDS = 0.25
"""Wait before a fresh listing when there was more to take than the appetite."""

NAMED_AT_MOST = 5

GAP_LISTINGS = 2
"""Listings in a row that must show uncovered keys before they are mended."""

P = TypeVar("P")

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Alarm:
    """The time of the next cycle, which others may bring forward."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due = clock.monotonic()
        self._changed = asyncio.Event()

    def set(self, seconds: float) -> None:
        """Plan the next cycle."""
        self._due = self._clock.monotonic() + seconds
        self._changed.set()

    def soon(self, seconds: float) -> None:
        """Bring the next cycle forward, never back."""
        self._due = min(self._due, self._clock.monotonic() + seconds)
        self._changed.set()

    async def wait(self) -> None:
        """Wait until it is due."""
        while (seconds := self._due - self._clock.monotonic()) > 0:
            self._changed.clear()
            await pause(self._clock, seconds, until=self._changed)


class Balancer(Generic[P]):
    """The balancing task of one host."""

    def __init__(
        self,
        *,
        neighbours: Neighbours[P],
        controller: Controller[P],
        bootstrapper: Bootstrapper[P],
        alarm: Alarm,
        listed: Sequence[Lease] | None = None,
    ) -> None:
        """Take a listing of just now, if there is one: the first cycle uses it up."""
        self._neighbours = neighbours
        self._options = neighbours.options
        self._clock = neighbours.clock
        self._draw = neighbours.draw
        self._controller = controller
        self._bootstrapper = bootstrapper
        self._alarm = alarm
        self._namesakes = Namesakes(me=neighbours.me)
        self._rivals: frozenset[str] = frozenset()
        self._spare: frozenset[LeaseToken] = frozenset()
        self._stopping = asyncio.Event()
        self._gap_listings = 0
        self._appetite = Appetite()
        self._cost_seconds = 0.0
        self._listed = listed

    def stop(self) -> None:
        """Take no more leases; the acquisitions under way are finished."""
        self._stopping.set()
        self._alarm.soon(0.0)

    async def run(self) -> None:
        """Balance until stopped."""
        while not self._stopping.is_set():
            self._alarm.set(self._options.acquire_seconds)
            try:
                await self._cycle()
            except Exception as error:  # noqa: BLE001 - the loop outlives whatever a cycle meets
                log.warning(Event.LISTING_FAILED, error=f"{type(error).__name__}: {error}")
                # A crowd that was throttled together must not come back together.
                self._alarm.set(self._options.acquire_seconds * (0.5 + self._draw.random()))
                await self._mend_if_missing(error)
            self._come_back_for_held()
            # A stop in the middle of the cycle rang the alarm, which the cycle then set anew.
            if not self._stopping.is_set():
                await self._alarm.wait()

    async def _cycle(self) -> None:
        listed, self._listed = self._listed, None
        leases = await self._neighbours.leases.list_leases() if listed is None else listed
        leases = self._namesakes.marked(leases, self._controller.held)
        self._name_rivals(leases)
        readable = await self._plausible([one for one in leases if one.unreadable is None])
        fleet = survey(
            readable,
            me=self._options.instance_name,
            now=self._clock.now(),
            expiration_seconds=self._options.expiration_seconds,
        )
        self._alarm.set(self._interval_seconds(fleet))
        self._cost_seconds = cost_seconds(fleet.total)
        await self._watch_coverage(leases)
        await self._verify_running(leases)
        await self._take(self._own_idle(readable) + self._chosen(fleet))

    async def _plausible(self, leases: Sequence[Lease]) -> Sequence[Lease]:
        """Without those that only cut others to pieces: somebody else wrote them."""
        spare: frozenset[LeaseToken] = frozenset()
        if overlapping(leases):
            spare = spare_leases(leases, await self._neighbours.source.recent_ranges())
        if spare - self._spare:
            log.warning(
                Event.LEASES_IMPLAUSIBLE, count=len(spare), leases=sorted(spare)[:NAMED_AT_MOST]
            )
        self._spare = spare
        return [lease for lease in leases if lease.token not in spare]

    def _come_back_for_held(self) -> None:
        """Look again when a range that is left alone may be taken: the cycle's own plan forgot it."""
        seconds = self._controller.holdoffs.next_seconds
        if seconds is not None:
            self._alarm.soon(max(seconds, self._pause_seconds(RELIST_SECONDS)))

    def _interval_seconds(self, fleet: Fleet) -> float:
        spread = stretch(fleet.hosts)
        if spread <= 1.0:
            return self._options.acquire_seconds
        return self._options.acquire_seconds * spread * (0.5 + self._draw.random())

    def _own_idle(self, leases: Sequence[Lease]) -> list[Lease]:
        """Leases in our name that do not run here: before a restart, or a lost answer."""
        left_alone = self._controller.tokens | self._controller.holdoffs.tokens
        return [lease for lease in leases if self._ours(lease) and lease.token not in left_alone]

    def _chosen(self, fleet: Fleet) -> list[Lease]:
        me = self._options.instance_name
        chosen = choose(
            fleet,
            me=me,
            limits=self._options.limits,
            draw=self._draw.random,
            held=self._controller.holdoffs.tokens,
        )
        return [lease for lease in chosen if not self._ours(lease)]

    def _ours(self, lease: Lease) -> bool:
        return lease.owned_by(self._options.instance_name) and lease.rival is None

    def _name_rivals(self, leases: Sequence[Lease]) -> None:
        """Say, once in the log and in the condition of each range, that our name is not ours alone."""
        rivals = frozenset(lease.rival for lease in leases if lease.rival is not None)
        if not rivals:
            return
        error = LeaseError(name_shared(self._options.instance_name))
        self._controller.note(error)
        if rivals - self._rivals:
            log.warning(Event.INSTANCE_NAME_SHARED, error=str(error))
        self._rivals |= rivals

    async def _take(self, leases: Sequence[Lease]) -> None:
        """Take some of them, a few at a time; look again soon when that was not all."""
        portion = leases[: self._appetite.leases]
        for start in range(0, len(portion), TAKEN_AT_ONCE):
            if self._stopping.is_set():
                return
            some = portion[start : start + TAKEN_AT_ONCE]
            if await self._take_some(some) * 2 > len(some):
                self._appetite = self._appetite.after(crowded=True)
                self._relist(RELIST_SECONDS)
                return
        if len(portion) < len(leases):
            self._appetite = self._appetite.after(crowded=False)
            self._relist(MORE_SECONDS)

    def _relist(self, seconds: float) -> None:
        """List again about that soon, later where a listing costs much."""
        self._alarm.soon(self._pause_seconds(seconds))

    def _pause_seconds(self, seconds: float) -> float:
        return (seconds + self._cost_seconds) * (0.5 + self._draw.random())

    async def _take_some(self, leases: Sequence[Lease]) -> int:
        async with asyncio.TaskGroup() as group:
            takings = [
                group.create_task(self._acquire(lease), name=f"range:{lease.token}:acquire")
                for lease in leases
            ]
        return sum(taking.result() for taking in takings)

    async def _acquire(self, lease: Lease) -> bool:
        """Acquire one lease; whether somebody else was faster."""
        try:
            await self._controller.acquire(lease)
        except LeaseLost as error:
            log.info(Event.ACQUIRE_FAILED, lease=lease.token, error=str(error))
            return True
        except Exception as error:  # noqa: BLE001 - one lease must not cost the others
            log.warning(
                Event.ACQUIRE_FAILED, lease=lease.token, error=f"{type(error).__name__}: {error}"
            )
            await self._neighbours.observer.failed(lease.token, error)
        return False

    async def _verify_running(self, leases: Sequence[Lease]) -> None:
        """Ask again about leases that the listing shows as another's, reset or gone."""
        listed = {lease.token: lease for lease in leases}
        for token in self._controller.tokens:
            supervisor = self._controller.running(token)
            if supervisor is None:
                continue
            lease = listed.get(token)
            bookmarked = supervisor.keeper.lease.continuation is not None
            if (
                lease is None
                or not lease.held_by(self._neighbours.me)
                or (bookmarked and lease.continuation is None)
            ):
                await supervisor.verify()

    async def _watch_coverage(self, leases: Sequence[Lease]) -> None:
        if not gaps(leases):
            self._gap_listings = 0
            return
        self._gap_listings += 1
        if self._gap_listings >= GAP_LISTINGS or not leases:
            self._gap_listings = 0
            await self._repair()
        else:
            self._alarm.soon(RELIST_SECONDS)

    async def _mend_if_missing(self, error: Exception) -> None:
        """A lease container that is gone is set up anew; an outage only waits."""
        if isinstance(error, ProjectorError) and error.disposition is not Disposition.RETRY:
            try:
                await self._repair()
            except Exception as again:  # noqa: BLE001 - the next cycle tries again
                log.warning(Event.LISTING_FAILED, error=f"{type(again).__name__}: {again}")

    async def _repair(self) -> None:
        if await self._bootstrapper.repair():
            self._alarm.soon(0.0)
