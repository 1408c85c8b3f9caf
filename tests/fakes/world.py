"""Hosts, container, leases and target together, in virtual time."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from typing_extensions import override

from projector.core.names import InstanceName, LeaseToken
from projector.core.states import CloseReason, RangeState
from projector.processor.host import Host
from projector.processor.notifications import SilentObserver
from projector.processor.options import ProcessorOptions
from tests.fakes.clock import FakeClock
from tests.fakes.container import FakeContainer
from tests.fakes.leases import FakeLeaseContainer, FakeLeaseStore, FakeMarkers
from tests.fakes.sink import Documents, FakeSink
from tests.fakes.source import FakeChangeSource


class Listener(SilentObserver):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []
        self.errors: list[Exception] = []

    @override
    async def acquired(self, token: LeaseToken) -> None:
        self.heard.append(("acquired", token))

    @override
    async def released(self, token: LeaseToken, reason: CloseReason) -> None:
        self.heard.append((f"released: {reason.value}", token))

    @override
    async def failed(self, token: LeaseToken, error: Exception) -> None:
        self.heard.append((f"failed: {type(error).__name__}", token))
        self.errors.append(error)


class Member:
    """One host and the adapters it alone uses."""

    def __init__(
        self, world: World, name: str, options: ProcessorOptions, sink: Any, clock: FakeClock
    ) -> None:
        self.name = name
        self.source = FakeChangeSource(world.container, world.clock)
        self.leases = FakeLeaseStore(world.leases)
        self.markers = FakeMarkers(world.leases)
        self.listener = Listener()
        self.options = options
        self.host: Host[Documents] = Host(
            source=self.source,
            leases=self.leases,
            markers=self.markers,
            sink=sink,
            sweeper=sink,
            options=options,
            clock=clock,
            draw=random.Random(name),
            observer=self.listener,
        )
        self.task: asyncio.Task[None] | None = None


class World:
    """Everything several hosts share."""

    def __init__(self, *, partitions: int = 1) -> None:
        self.clock = FakeClock()
        self.container = FakeContainer(self.clock, partitions=partitions)
        self.leases = FakeLeaseContainer(self.clock)
        self.sink = FakeSink(self.clock, exists=self.container.find)
        self.options = ProcessorOptions(processor_name="test", instance_name=InstanceName("nobody"))
        self.members: dict[str, Member] = {}

    def member(
        self,
        name: str = "a",
        *,
        sink: Any = None,
        clock: FakeClock | None = None,
        instance_name: str | None = None,
        **options: Any,
    ) -> Member:
        """A host that has not started; its instance name is its own unless another is given."""
        named = InstanceName(instance_name or name)
        chosen = replace(self.options, instance_name=named, **options)
        member = Member(self, name, chosen, sink or self.sink, clock or self.clock)
        self.members[name] = member
        return member

    def start(self, name: str = "a", **choices: Any) -> Member:
        """A running host; the choices are those of `member`."""
        return self.start_member(self.member(name, **choices))

    def start_member(self, member: Member) -> Member:
        """Let a prepared host run."""
        member.task = asyncio.create_task(member.host.run(), name=f"host {member.name}")
        return member

    async def caught_up(self, name: str = "a", **choices: Any) -> Member:
        """A running host that has read and bookmarked everything."""
        member = self.start(name, **choices)
        await self.until(self.bookmarked)
        return member

    async def once_read(self, documents: int) -> None:
        """So many documents were read by a host that has gone."""
        self.container.fill(documents)
        await self.caught_up()
        await self.stop()

    async def stop(self, name: str = "a", *, within_seconds: float = math.inf) -> None:
        """Stop and drain; raises what the host raised."""
        member, began = self.members.pop(name), self.clock.monotonic()
        assert member.task is not None
        member.host.request_stop()
        await member.task
        assert self.clock.monotonic() - began <= within_seconds

    async def kill(self, name: str = "a") -> None:
        """Abort: nothing is released."""
        member = self.members.pop(name)
        assert member.task is not None
        member.task.cancel()
        await asyncio.gather(member.task, return_exceptions=True)

    async def stop_all(self) -> None:
        for name in list(self.members):
            if self.members[name].task is not None:
                await self.stop(name)

    async def until(self, holds: Callable[[], object], *, within_seconds: float = 300) -> None:
        """Let virtual time pass until something holds; fail after the deadline."""
        deadline = self.clock.monotonic() + within_seconds
        while not holds():
            for member in self.members.values():
                if member.task is not None and member.task.done():
                    member.task.result()
            assert self.clock.monotonic() < deadline, self.picture()
            await self.clock.sleep(0.01)

    async def pass_time(self, seconds: float) -> None:
        await self.clock.sleep(seconds)

    def consistent(self) -> bool:
        """Whether the target equals the container."""
        return self.sink.live_rows() == self.container.documents()

    def bookmarked(self) -> bool:
        """Whether every partition has a lease whose bookmark is the partition's end."""
        leases = self.leases.leases.values()
        ends = {partition.id: f'"{partition.lsn}"' for partition in self.container.partitions}
        return {lease.token: lease.continuation for lease in leases} == ends

    def owners(self) -> dict[str, str | None]:
        return {str(token): lease.owner for token, lease in sorted(self.leases.leases.items())}

    def counts(self) -> dict[str, int]:
        """Leases per owner."""
        counts: dict[str, int] = {}
        for owner in self.owners().values():
            if owner is not None:
                counts[owner] = counts.get(owner, 0) + 1
        return counts

    def state(self, token: str = "0") -> RangeState | None:
        """What the hosts say of a range now."""
        for member in self.members.values():
            for report in member.host.reports():
                if report.lease_token == token:
                    return report.state
        return None

    def picture(self) -> str:
        """For a failed expectation."""
        lines = [f"owners: {self.owners()}"]
        for member in self.members.values():
            lines.append(f"{member.name}: {member.listener.heard[-10:]}")
            lines += [
                f"  {r.lease_token} {r.state.value} gap={r.gap_changes} {r.failure}"
                for r in member.host.reports()
            ]
        missing = self.container.documents().keys() - self.sink.live_rows().keys()
        lines.append(f"rows missing: {len(missing)}")
        return "\n".join(lines)
