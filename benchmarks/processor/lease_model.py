"""A lease container for thousands of hosts: etags, torn listings, charges, throttling.

Time is virtual. A listing is read page by page, each page as of its own moment, so that hosts
act on what was true a while ago. Renewals of live owners are played by the container itself,
at the times the renewer would choose; everything else comes from the code under test. Charges
are the emulator's, by the size of a lease document as it is really written.
"""

from __future__ import annotations

import heapq
import itertools
import json
import random
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from cosmos_emulator.charges import page_ru, read_ru, write_ru
from projector.core.errors import LeaseConflict, LeaseMissing, LeaseStoreUnavailable
from projector.core.lease import Lease
from projector.core.names import InstanceName, LeaseToken
from projector.core.ranges import FULL_RANGE
from projector.cosmos.lease_documents import document_of
from tests.fakes.clock import START, FakeClock

PAGE_DOCUMENTS = 1000
SYSTEM_FIELD_BYTES = 150
"""`_rid`, `_self`, `_etag`, `_attachments` and `_ts`, which the service adds."""

FASTEST_SECONDS = 0.005
SLOWEST_SECONDS = 0.02
PAGE_SECONDS = 0.05


def lease_bytes() -> int:
    """Size of one stored lease document of a host with a name of usual length."""
    lease = Lease(
        id="projectormyaccount.documents.azure.com_b0wPAA==_b0wPAK3lXxQ=..9999",
        token=LeaseToken("9999"),
        feed_range=replace(FULL_RANGE, min="05C1CFFFFFFFF8", max="05C1DFFFFFFFFC"),
        owner=InstanceName("projector-7c9f8b6d4-x2x4z"),
        timestamp=START,
        etag='"00000000-0000-0000-0000-000000000000"',
    )
    return len(json.dumps(document_of(lease))) + SYSTEM_FIELD_BYTES


@dataclass(slots=True)
class Usage:
    """What was asked of the container, in all and second by second."""

    requests: Counter[str] = field(default_factory=Counter)
    units: dict[str, float] = field(default_factory=dict)
    requests_at: Counter[int] = field(default_factory=Counter)
    units_at: dict[int, float] = field(default_factory=dict)
    throttled: int = 0

    def add(self, operation: str, units: float, second: int) -> None:
        """Count one request."""
        self.requests[operation] += 1
        self.units[operation] = self.units.get(operation, 0.0) + units
        self.requests_at[second] += 1
        self.units_at[second] = self.units_at.get(second, 0.0) + units


class LeaseContainerModel:
    """What all hosts share; leases are `LeaseToken` "0" to "n-1"."""

    def __init__(
        self,
        leases: int,
        *,
        clock: FakeClock,
        draw: random.Random,
        renew_seconds: float,
        units_per_second: float | None = None,
    ) -> None:
        self.clock = clock
        self.draw = draw
        self.usage = Usage()
        self.leases = {
            LeaseToken(str(n)): Lease(id=str(n), token=LeaseToken(str(n)), etag=f"new-{n}")
            for n in range(leases)
        }
        self._tokens = list(self.leases)
        self._renew_seconds = renew_seconds
        self._units_per_second = units_per_second
        self._bytes = lease_bytes()
        self._write_units = write_ru(self._bytes)
        self._etags = itertools.count(1)
        self._renewals: list[tuple[float, LeaseToken, InstanceName]] = []
        self._lost: dict[InstanceName, Callable[[LeaseToken], None]] = {}

    @property
    def living(self) -> Collection[str]:
        """Hosts that live."""
        return self._lost.keys()

    def join(self, name: InstanceName, lost: Callable[[LeaseToken], None]) -> None:
        """A host lives; `lost` is called when one of its renewals finds another owner."""
        self._lost[name] = lost

    def die(self, name: InstanceName) -> None:
        """A host is gone without a word: its renewals stop."""
        del self._lost[name]

    def charge(self, operation: str, units: float, *, at: float | None = None) -> bool:
        """Count a request; False when the throughput of that second is used up."""
        second = int(self.clock.monotonic() if at is None else at)
        used = self.usage.units_at.get(second, 0.0)
        if self._units_per_second is not None and used >= self._units_per_second:
            self.usage.throttled += 1
            return False
        self.usage.add(operation, units, second)
        return True

    async def page(self, start: int) -> Sequence[Lease]:
        """One page of a listing, as of now."""
        tokens = self._tokens[start : start + PAGE_DOCUMENTS]
        await self._ask("list", page_ru(len(tokens), len(tokens) * self._bytes), PAGE_SECONDS)
        return [self.leases[token] for token in tokens]

    async def read(self, token: LeaseToken) -> Lease:
        """One lease as of now."""
        await self._ask("read", read_ru(self._bytes))
        return self.leases[token]

    async def replace(self, lease: Lease) -> Lease:
        """Write under an etag."""
        await self._ask("replace", self._write_units)
        if self.leases[lease.token].etag != lease.etag:
            raise LeaseConflict(f"lease {lease.token} was changed")
        return self._store(lease)

    def play_renewals(self) -> None:
        """Do what the owners' renewers have done up to now."""
        now = self.clock.monotonic()
        while self._renewals and self._renewals[0][0] <= now:
            due, token, name = heapq.heappop(self._renewals)
            if name in self._lost:
                self._renew(due, token, name)

    def start_renewing(self, token: LeaseToken, name: InstanceName) -> None:
        """The first renewal comes after half an interval."""
        due = self.clock.monotonic() + self._renew_seconds / 2
        heapq.heappush(self._renewals, (due, token, name))

    def _renew(self, due: float, token: LeaseToken, name: InstanceName) -> None:
        again = (due + self._renew_seconds, token, name)
        if not self.charge("renew", self._write_units, at=due):
            heapq.heappush(self._renewals, again)
        elif self.leases[token].owner == name:
            time = START + timedelta(seconds=due)
            self._store(replace(self.leases[token], timestamp=time))
            heapq.heappush(self._renewals, again)
        else:
            self.charge("read", read_ru(self._bytes), at=due)
            self._lost[name](token)

    def _store(self, lease: Lease) -> Lease:
        stored = replace(lease, etag=str(next(self._etags)))
        self.leases[lease.token] = stored
        return stored

    async def _ask(self, operation: str, units: float, seconds: float = 0.0) -> None:
        """Wait as long as the service takes, then meet the state of that moment."""
        await self.clock.sleep(seconds + self.draw.uniform(FASTEST_SECONDS, SLOWEST_SECONDS))
        self.play_renewals()
        if not self.charge(operation, units):
            raise LeaseStoreUnavailable("429: the throughput of the lease container is used up")


class ModelStore:
    """`LeaseStore` of one host."""

    def __init__(self, container: LeaseContainerModel) -> None:
        self._container = container

    async def list_leases(self) -> Sequence[Lease]:
        """All leases, each page as of its own moment."""
        found: list[Lease] = []
        for start in range(0, len(self._container.leases), PAGE_DOCUMENTS):
            found += await self._container.page(start)
        return found

    async def create(self, lease: Lease) -> bool:
        """They all exist."""
        return lease.token not in self._container.leases

    async def read(self, token: LeaseToken) -> Lease:
        """One lease as of now."""
        if token not in self._container.leases:
            raise LeaseMissing(f"lease {token} does not exist")
        return await self._container.read(token)

    async def replace(self, lease: Lease) -> Lease:
        """Write under an etag."""
        return await self._container.replace(lease)

    async def delete(self, lease: Lease) -> None:
        """No range is ever split here."""
