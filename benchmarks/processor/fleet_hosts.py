"""Hosts that balance and own leases but read nothing: the real balancer over the lease model.

Under test are `Balancer`, `LeaseKeeper` and `projector.core.balance`. A range that was acquired
reads its lease again after the fence and writes its first bookmark, as a supervisor does.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

from benchmarks.processor.lease_model import LeaseContainerModel, ModelStore
from projector.core.balance import choose, survey
from projector.core.errors import LeaseLost, ProjectorError
from projector.core.lease import Lease
from projector.core.names import Continuation, Holder, InstanceName, LeaseToken
from projector.ports.budget import UNLIMITED
from projector.processor.balancer import Alarm, Balancer
from projector.processor.bootstrap import Bootstrapper
from projector.processor.controller import Controller
from projector.processor.holdoffs import HoldOffs
from projector.processor.lease_keeper import LeaseKeeper
from projector.processor.neighbours import Neighbours
from projector.processor.notifications import Notifications, SilentObserver
from projector.processor.options import ProcessorOptions

FIRST_BOOKMARK = Continuation('"1"')


@dataclass(slots=True)
class Takings:
    """What the acquisitions of a fleet came to."""

    rescued: int = 0
    stolen: int = 0
    lost_races: int = 0
    moves: Counter[LeaseToken] = field(default_factory=Counter)


class Running:
    """A range that this host believes to own."""

    def __init__(self, keeper: LeaseKeeper, roster: Roster) -> None:
        self.keeper = keeper
        self._roster = roster

    async def verify(self) -> None:
        """Ask whether the lease is still ours."""
        try:
            await self.keeper.verify()
        except LeaseLost:
            self._roster.lose(self.keeper.token)
        except ProjectorError:
            return


class Roster:
    """Stands where the controller stands: the leases of one host."""

    def __init__(
        self, name: InstanceName, container: LeaseContainerModel, takings: Takings
    ) -> None:
        self._name = name
        self._container = container
        self._takings = takings
        self.held: set[LeaseToken] = set()
        self._owned: dict[LeaseToken, Running] = {}
        self.holdoffs = HoldOffs(clock=container.clock, draw=container.draw)

    @property
    def tokens(self) -> frozenset[LeaseToken]:
        """Leases this host believes to own."""
        return frozenset(self._owned)

    def running(self, token: LeaseToken) -> Running | None:
        """The range of a lease."""
        return self._owned.get(token)

    def lose(self, token: LeaseToken) -> None:
        """Another host owns it."""
        self._owned.pop(token, None)

    async def acquire(self, lease: Lease) -> bool:
        """Take a lease as the controller and the supervisor do."""
        if lease.token in self._owned:
            return False
        keeper = LeaseKeeper(
            store=ModelStore(self._container),
            clock=self._container.clock,
            me=Holder(name=self._name),
            lease=lease,
        )
        before = lease.owner in self._container.living
        try:
            await keeper.acquire()
        except LeaseLost:
            self._takings.lost_races += 1
            raise
        if before:
            self._takings.stolen += 1
        else:
            self._takings.rescued += 1
        self._takings.moves[lease.token] += 1
        self._owned[lease.token] = Running(keeper, self)
        self._container.start_renewing(lease.token, self._name)
        if (await keeper.refresh()).continuation is None:
            await keeper.checkpoint(FIRST_BOOKMARK, {})
        return True


class NetBalancer:
    """The loop of .NET by its description: listing order, one after the other, a fixed wait."""

    def __init__(self, neighbours: Neighbours[None], roster: Roster) -> None:
        self._neighbours = neighbours
        self._roster = roster

    async def run(self) -> None:
        """Balance until cancelled."""
        options = self._neighbours.options
        while True:
            with suppress(ProjectorError):
                await self._cycle(options)
            await self._neighbours.clock.sleep(options.acquire_seconds)

    async def _cycle(self, options: ProcessorOptions) -> None:
        fleet = survey(
            await self._neighbours.leases.list_leases(),
            me=options.instance_name,
            now=self._neighbours.clock.now(),
            expiration_seconds=options.expiration_seconds,
        )
        for lease in choose(fleet, me=options.instance_name):
            with suppress(ProjectorError):
                await self._roster.acquire(lease)


class FleetHost:
    """One host: starts some time, then balances."""

    def __init__(
        self,
        name: str,
        *,
        container: LeaseContainerModel,
        takings: Takings,
        options: ProcessorOptions,
        as_net: bool,
    ) -> None:
        self.name = InstanceName(name)
        self._container = container
        self._draw = random.Random(f"{name} {container.draw.random()}")
        roster = Roster(self.name, container, takings)
        container.join(self.name, roster.lose)
        # Neither source nor sink is asked for anything by the balancer.
        neighbours: Neighbours[None] = Neighbours(
            source=cast("Any", None),
            leases=ModelStore(container),
            sink=cast("Any", None),
            sweeper=cast("Any", None),
            clock=container.clock,
            draw=self._draw,
            observer=Notifications(SilentObserver()),
            options=options,
            allowance=UNLIMITED,
            me=Holder(name=self.name),
            container_rid="",
        )
        self._balancer = NetBalancer(neighbours, roster) if as_net else _ours(neighbours, roster)
        self._task: asyncio.Task[None] | None = None

    def start(self, *, within_seconds: float) -> None:
        """Begin some time within that many seconds."""
        after = self._draw.random() * within_seconds
        self._task = asyncio.create_task(self._run(after), name=f"host {self.name}")

    def check(self) -> None:
        """Raise what the host ended with: a host that lives never ends."""
        if self._task is not None and self._task.done():
            self._task.result()

    async def kill(self) -> None:
        """End without a word."""
        self._container.die(self.name)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, after_seconds: float) -> None:
        await self._container.clock.sleep(after_seconds)
        await self._balancer.run()


def _ours(neighbours: Neighbours[None], roster: Roster) -> Balancer[None]:
    return Balancer(
        neighbours=neighbours,
        controller=cast("Controller[None]", roster),
        bootstrapper=cast("Bootstrapper[None]", None),
        alarm=Alarm(neighbours.clock),
    )


def shares(container: LeaseContainerModel, hosts: Iterable[FleetHost]) -> dict[str, int]:
    """Leases by living owner, with those who own none."""
    counts = dict.fromkeys((str(host.name) for host in hosts), 0)
    for lease in container.leases.values():
        if lease.owner in counts:
            counts[str(lease.owner)] += 1
    return counts
