"""An in-memory lease container with the `LeaseStore` and `BootstrapMarkers` over it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from projector.core.errors import LeaseConflict, LeaseMissing
from projector.core.lease import Lease
from projector.core.names import LeaseToken
from tests.fakes.clock import FakeClock
from tests.fakes.faults import Faults


class FakeLeaseContainer:
    """What several hosts share."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.leases: dict[LeaseToken, Lease] = {}
        self._written: dict[LeaseToken, float] = {}
        self.marked = False
        self.lock: tuple[object, float] | None = None
        self._etags = itertools.count(1)

    def write(self, lease: Lease) -> Lease:
        """Store it under a new etag, as a person at the portal can."""
        stored = replace(lease, etag=f'"{next(self._etags)}"')
        self.leases[lease.token] = stored
        self._written[lease.token] = self.clock.monotonic()
        return stored

    def listed(self) -> list[Lease]:
        """All leases, with what the service's clock says of them."""
        now = self.clock.monotonic()
        return [
            replace(lease, idle_seconds=now - self._written[token])
            for token, lease in self.leases.items()
        ]

    def clear(self) -> None:
        """Delete and recreate the container."""
        self.leases.clear()
        self.marked = False
        self.lock = None


class FakeLeaseStore:
    """Operations to plan faults for: list, create, read, replace, delete (about: lease token)."""

    def __init__(self, container: FakeLeaseContainer) -> None:
        self._container = container
        self.faults = Faults(container.clock)

    async def list_leases(self) -> Sequence[Lease]:
        await self.faults.before("list")
        return self._container.listed()

    async def create(self, lease: Lease) -> bool:
        await self.faults.before("create", lease.token)
        if lease.token in self._container.leases:
            return False
        self._container.write(lease)
        await self.faults.after("create", lease.token)
        return True

    async def read(self, token: LeaseToken) -> Lease:
        await self.faults.before("read", token)
        return self._stored(token)

    async def replace(self, lease: Lease) -> Lease:
        await self.faults.before("replace", lease.token)
        if self._stored(lease.token).etag != lease.etag:
            raise LeaseConflict(f"lease {lease.token} was changed")
        stored = self._container.write(lease)
        await self.faults.after("replace", lease.token)
        return stored

    async def delete(self, lease: Lease) -> None:
        await self.faults.before("delete", lease.token)
        self._container.leases.pop(lease.token, None)

    def _stored(self, token: LeaseToken) -> Lease:
        try:
            return self._container.leases[token]
        except KeyError:
            raise LeaseMissing(f"lease {token} does not exist") from None


class FakeMarkers:
    """Operations to plan faults for: initialized, mark, lock, unlock."""

    def __init__(self, container: FakeLeaseContainer) -> None:
        self._container = container
        self.faults = Faults(container.clock)
        self.steps: list[str] = []

    async def is_initialized(self) -> bool:
        self.steps.append("initialized?")
        await self.faults.before("initialized")
        return self._container.marked

    async def mark_initialized(self) -> None:
        self.steps.append("mark")
        await self.faults.before("mark")
        self._container.marked = True

    async def acquire_lock(self, *, seconds: int) -> bool:
        self.steps.append("lock")
        await self.faults.before("lock")
        now = self._container.clock.monotonic()
        if self._container.lock is not None and self._container.lock[1] > now:
            return False
        self._container.lock = (self, now + seconds)
        return True

    async def release_lock(self) -> None:
        self.steps.append("unlock")
        await self.faults.before("unlock")
        if self._container.lock is not None and self._container.lock[0] is self:
            self._container.lock = None
