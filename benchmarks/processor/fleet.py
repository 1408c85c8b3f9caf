"""A fleet's life in virtual time: it starts, loses hosts, gets new ones; what that costs.

Balanced means that every lease has a living owner and no two shares differ by more than one.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.processor.fleet_hosts import FleetHost, Takings, shares
from benchmarks.processor.lease_model import LeaseContainerModel, Usage
from projector.core.names import InstanceName
from projector.processor.options import ProcessorOptions
from tests.fakes.clock import FakeClock, VirtualTimeLoop

LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to play.

    Attributes:
        start_seconds: hosts of one wave start within that time.
        steady_seconds: how long the balanced fleet is watched.
        give_up_seconds: the longest a phase may last.
        as_net: play .NET's loop instead of ours.
        units_per_second: throughput of the lease container; None is without limit.
    """

    hosts: int = 1000
    ranges: int = 10_000
    change: int = 100
    start_seconds: float = 15.0
    steady_seconds: float = 60.0
    give_up_seconds: float = 3600.0
    as_net: bool = False
    units_per_second: float | None = None
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """What one phase came to; times in virtual seconds from its beginning."""

    name: str
    covered_seconds: float | None
    balanced_seconds: float | None
    rescued: int
    stolen: int
    lost_races: int
    throttled: int
    listings: float
    requests_per_second: float
    peak_requests_per_second: int
    units_per_second: float
    peak_units_per_second: float
    listing_share: float
    real_seconds: float


@dataclass(slots=True)
class Fleet:
    """All hosts and their container."""

    plan: Plan
    clock: FakeClock
    container: LeaseContainerModel
    options: ProcessorOptions
    takings: Takings = field(default_factory=Takings)
    hosts: dict[str, FleetHost] = field(default_factory=dict)
    born: int = 0

    def add(self, count: int) -> None:
        """Start that many hosts."""
        for _ in range(count):
            name = f"projector-{self.born:04d}"
            self.born += 1
            self.hosts[name] = FleetHost(
                name,
                container=self.container,
                takings=self.takings,
                options=ProcessorOptions(
                    processor_name="projector", instance_name=InstanceName(name)
                ),
                as_net=self.plan.as_net,
            )
            self.hosts[name].start(within_seconds=self.plan.start_seconds)

    async def lose(self, count: int) -> None:
        """Kill that many hosts at once."""
        for name in self.container.draw.sample(sorted(self.hosts), count):
            await self.hosts.pop(name).kill()

    def covered(self) -> bool:
        """Whether every lease has a living owner."""
        return sum(shares(self.container, self.hosts.values()).values()) == self.plan.ranges

    def balanced(self) -> bool:
        """Whether, besides, the shares are equal."""
        counts = shares(self.container, self.hosts.values())
        fair = self.plan.ranges / len(self.hosts)
        return sum(counts.values()) == self.plan.ranges and all(
            math.floor(fair) <= count <= math.ceil(fair) for count in counts.values()
        )


async def live(plan: Plan, told: Callable[[Phase], None]) -> list[Phase]:
    """Play all phases and tell each one as it ends."""
    clock = FakeClock()
    options = ProcessorOptions(processor_name="projector", instance_name=InstanceName("-"))
    container = LeaseContainerModel(
        plan.ranges,
        clock=clock,
        draw=random.Random(plan.seed),
        renew_seconds=options.renew_seconds,
        units_per_second=plan.units_per_second,
    )
    fleet = Fleet(plan=plan, clock=clock, container=container, options=options)
    phases: list[Phase] = []

    async def play(name: str) -> None:
        phases.append(await _phase(fleet, name))
        told(phases[-1])

    fleet.add(plan.hosts)
    await play(f"{plan.hosts} hosts start together")
    phases.append(await _steady(fleet))
    told(phases[-1])
    await fleet.lose(plan.change)
    await play(f"{plan.change} hosts die")
    fleet.add(plan.change)
    await play(f"{plan.change} hosts join")
    for host in fleet.hosts.values():
        await host.kill()
    return phases


async def _phase(fleet: Fleet, name: str) -> Phase:
    began, real = fleet.clock.monotonic(), time.perf_counter()
    fleet.takings, fleet.container.usage = _fresh(fleet.takings), Usage()
    covered: float | None = None
    balanced: float | None = None
    while balanced is None and fleet.clock.monotonic() - began < fleet.plan.give_up_seconds:
        await fleet.clock.sleep(LOOK_SECONDS)
        for host in fleet.hosts.values():
            host.check()
        fleet.container.play_renewals()
        elapsed = fleet.clock.monotonic() - began
        if covered is None and fleet.covered():
            covered = elapsed
        if fleet.balanced():
            balanced = elapsed
    return _summed(fleet, name, began, real, covered=covered, balanced=balanced)


async def _steady(fleet: Fleet) -> Phase:
    began, real = fleet.clock.monotonic(), time.perf_counter()
    fleet.takings, fleet.container.usage = _fresh(fleet.takings), Usage()
    await fleet.clock.sleep(fleet.plan.steady_seconds)
    fleet.container.play_renewals()
    return _summed(fleet, "balanced and idle", began, real, covered=0.0, balanced=0.0)


def _fresh(takings: Takings) -> Takings:
    """The hosts keep the object they were given: empty it."""
    takings.rescued = takings.stolen = takings.lost_races = 0
    takings.moves.clear()
    return takings


def _summed(
    fleet: Fleet,
    name: str,
    began: float,
    real: float,
    *,
    covered: float | None,
    balanced: float | None,
) -> Phase:
    seconds = fleet.clock.monotonic() - began
    usage = fleet.container.usage
    units = sum(usage.units.values())
    pages = math.ceil(fleet.plan.ranges / 1000)
    return Phase(
        name=name,
        covered_seconds=covered,
        balanced_seconds=balanced,
        rescued=fleet.takings.rescued,
        stolen=fleet.takings.stolen,
        lost_races=fleet.takings.lost_races,
        throttled=usage.throttled,
        listings=usage.requests["list"] / pages,
        requests_per_second=usage.requests.total() / seconds,
        peak_requests_per_second=max(usage.requests_at.values(), default=0),
        units_per_second=units / seconds,
        peak_units_per_second=max(usage.units_at.values(), default=0.0),
        listing_share=usage.units.get("list", 0.0) / units if units else 0.0,
        real_seconds=time.perf_counter() - real,
    )


def run(plan: Plan, told: Callable[[Phase], None]) -> list[Phase]:
    """Play a plan in virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(live(plan, told))
