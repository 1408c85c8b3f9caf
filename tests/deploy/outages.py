"""A small town of hosts in virtual time, scraped twice a minute while something is wrong with it.

What they expose comes from the program: the real watch over the fleet, the real verdicts, the real metrics.
Made up is only what their neighbours say: PostgreSQL what it holds, and each host how its range is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from prometheus_client.metrics_core import Metric

from projector.core.errors import SinkUnavailable
from projector.core.health import Limits
from projector.core.names import Epoch, InstanceName, LeaseToken
from projector.core.ranges import FeedRange
from projector.core.states import CloseReason, RangeState
from projector.operations.fleet import FleetWatch
from projector.operations.status import AskCopy
from projector.ports.copy import Blocker, CopyFacts, StoredReport
from projector.ports.feed import Applied, RangeReport
from projector.telemetry.metrics import Metrics
from tests.deploy.operators_files import Alarm, asked_for
from tests.deploy.promql import Labels, Scrapes
from tests.fakes.clock import FakeClock
from tests.unit.operations.test_status import position

EVERY_SECONDS = 30
ASKED_FOR = sorted(asked_for())
HALVES = (FeedRange(min="", max="1F"), FeedRange(min="1F", max="FF"))


class SilentEstimator:
    """The source says nothing of ranges of which no owner speaks."""

    async def behind(self, _: object) -> Any:
        raise TimeoutError


class TownHost:
    """One host that owns one range."""

    def __init__(self, town: Town, number: int) -> None:
        self.name = InstanceName(f"host-{number}")
        self.token, self.keys = LeaseToken(str(number)), HALVES[number]
        self._town = town
        self.state, self.state_since = RangeState.READING, town.clock.now()
        self.moved_at = self.state_since
        self.cut_off = False
        self.watch = FleetWatch(limits=Limits(), clock=town.clock, own=self.own)
        self.metrics = Metrics(self.watch.figures, reports=self.own, version="1.0.0")

    def own(self) -> Sequence[RangeReport]:
        return () if self._town.nobody_reads else (self.report(),)

    def scraped(self) -> Iterable[Metric]:
        """What alarms are built on, as `Metrics.exposition` has it, but not as text: that takes long."""
        for report in self.own():
            self.metrics.observed(report)
        return self.metrics.registry.restricted_registry(ASKED_FOR).collect()

    def becomes(self, state: RangeState) -> None:
        self.state, self.state_since = state, self._town.clock.now()

    def report(self) -> RangeReport:
        now = self._town.clock.now()
        if self.state is RangeState.READING:
            self.moved_at = now
        behind = self._town.behind_since
        waits = self.state is not RangeState.READING
        return RangeReport(
            lease_token=self.token,
            feed_range=self.keys,
            owner=self.name,
            state=self.state,
            state_since=self.state_since,
            epoch=Epoch(1),
            last_poll_at=self.moved_at,
            gap_changes=None if waits else 0 if behind is None else 500,
            lag_seconds=None if waits else (now - (behind or now)).total_seconds(),
            caught_up_at=self.moved_at if behind is None else behind,
        )


@dataclass
class Town:
    """Two hosts, two ranges, one PostgreSQL."""

    clock: FakeClock
    nobody_reads: bool = False
    behind_since: datetime | None = None
    target_down: bool = False
    hosts_gone: bool = False
    quarantined: int = 0
    drift: int = 0
    verified_at: datetime | None = None
    replay_since: datetime | None = None
    blocked_since: datetime | None = None

    def __post_init__(self) -> None:
        self.scrapes = Scrapes()
        self.began = self.clock.now()
        self.verified_at = self.began
        self.hosts = [TownHost(self, number) for number in range(2)]
        self._stored: dict[LeaseToken, StoredReport] = {}

    def facts(self) -> CopyFacts:
        now = self.clock.now()
        if not self.nobody_reads:
            for host in self.hosts:
                report = host.report()
                self._stored[host.token] = StoredReport(
                    report=report, reported_at=now, complete_at=report.caught_up_at
                )
        positions = []
        for host in self.hosts:
            stored = position(host.token, keys=host.keys)
            read_at = self._stored[host.token].report.last_poll_at
            positions.append(
                replace(
                    stored,
                    owner=host.name,
                    last_commit_at=read_at,
                    replay_phase=None if self.replay_since is None else "running",
                    replay_mark_lsn=None if self.replay_since is None else 7,
                    replay_since=self.replay_since,
                )
            )
        return CopyFacts(
            now=now,
            counted_at=now,
            quarantined=self.quarantined,
            positions=positions,
            reports=dict(self._stored),
            drift_found=self.drift,
            verified_at=self.verified_at,
        )

    async def blockers(self) -> Sequence[Blocker]:
        """Batches give up a wait for a lock after a quarter of a minute, and begin anew."""
        if self.blocked_since is None:
            return ()
        waited = (self.clock.now() - self.blocked_since).total_seconds() % 15
        return [Blocker(pid=7, role="ana", application="psql", waiting=1, waited_seconds=waited)]

    def marker_of(self, ttl_seconds: int) -> None:
        """A deletion marker was read."""
        for host in self.hosts:
            host.metrics.applied(
                host.token, Applied(delivered=1, least_ttl_seconds=ttl_seconds), seconds=0.1
            )

    async def passes(self, minutes: float) -> None:
        """So much time, with a scrape of each host every half a minute."""
        for _ in range(int(minutes * 60 / EVERY_SECONDS)):
            if not self.hosts_gone:
                for host in self.hosts:
                    self.scrapes.add(
                        self.seconds(),
                        host.scraped(),
                        job="projector",
                        instance=f"{host.name}:8080",
                    )
            await self.clock.sleep(EVERY_SECONDS)

    def seconds(self) -> int:
        return round((self.clock.now() - self.began).total_seconds())

    def all_become(self, state: RangeState) -> None:
        for host in self.hosts:
            host.becomes(state)

    async def leave_the_ranges(self) -> None:
        """Every host gives up its range, and nobody takes it."""
        self.nobody_reads = True
        for host in self.hosts:
            await host.metrics.released(host.token, CloseReason.SOURCE_FAILED)

    async def opens_anew(self, reason: CloseReason) -> None:
        """The first host gives up its range and takes it again."""
        metrics, token = self.hosts[0].metrics, self.hosts[0].token
        await metrics.released(token, reason)
        await metrics.acquired(token)


@asynccontextmanager
async def town() -> AsyncIterator[Town]:
    """A town in which all is well, and has been for ten minutes."""
    here = Town(clock=FakeClock())
    looking = [
        asyncio.ensure_future(host.watch.run(_asker(here, host), SilentEstimator(), here.blockers))  # type: ignore[arg-type]
        for host in here.hosts
    ]
    for host in here.hosts:
        await host.metrics.acquired(host.token)
    await here.clock.sleep(1)
    here.began = here.clock.now()
    await here.passes(10)
    yield here
    for task in looking:
        task.cancel()


def _asker(here: Town, host: TownHost) -> AskCopy:
    async def ask(_: CopyFacts | None) -> CopyFacts:
        if here.target_down or host.cut_off:
            raise SinkUnavailable("the server does not answer")
        return here.facts()

    return ask


def ringing(alarm: Alarm, scrapes: Scrapes, at: float) -> set[Labels]:
    """Whose alarm has been true for its whole `for`, as Prometheus counts it."""
    since: dict[Labels, float] = {}
    for when in range(0, int(at) + 1, EVERY_SECONDS):
        true = scrapes.ask(alarm.expression, when)
        since = {labels: since.get(labels, when) for labels in true}
    return {labels for labels, when in since.items() if at - when >= alarm.seconds}
