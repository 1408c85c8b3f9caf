"""Leases, marker and lock of one processor in the lease container.

Ids and shapes are those of .NET v3 (`lease_documents`); conditions are etags, each taken from
the answer to the write that made it. Nothing is cached that another host could have changed.
Source: docs/reference/lease-document.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from projector.core.errors import ConfigurationError, LeaseMissing
from projector.core.lease import Lease
from projector.core.names import LeaseToken
from projector.cosmos.lease_container import LeaseContainer
from projector.cosmos.lease_documents import (
    NEVER_EXPIRES,
    document_of,
    idle_seconds,
    lease_id,
    lease_of,
    unreadable_lease,
)
from projector.ports.feed import Clock

DEFAULT_LOCK_SECONDS = 30
LONGEST_LOCK_SECONDS = 120
"""Four times what .NET, Java and we hold a lock for; one that says more holds nobody up for more."""

LEASE_UNREADABLE = "lease_unreadable"
LOCK_IMPLAUSIBLE = "lock_implausible"

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class CosmosLeaseStore:
    """`LeaseStore` over a lease container; `prefix` comes from `lease_prefix`."""

    def __init__(
        self,
        container: LeaseContainer,
        *,
        prefix: str,
        stamp: Callable[[Lease], Lease] = lambda lease: lease,
    ) -> None:
        """Take the container, what the ids of this processor begin with, and what changes bear."""
        self._container = container
        self._prefix = prefix
        self._stamp = stamp
        self._unreadable: frozenset[str] = frozenset()
        self.listed: Sequence[Lease] = ()
        """The newest listing."""

    def stamping(self, stamp: Callable[[Lease], Lease]) -> CosmosLeaseStore:
        """The same leases for a host, which marks what it changes."""
        return CosmosLeaseStore(self._container, prefix=self._prefix, stamp=stamp)

    async def list_leases(self) -> Sequence[Lease]:
        """All leases of this processor, by token; never the marker or the lock.

        One that cannot be understood is told once in the log, and is listed as unreadable.
        """
        listing = await self._container.list(f"{self._prefix}..")
        leases = sorted(
            (
                replace(self._lease(one), idle_seconds=idle_seconds(one, listing.service_time))
                for one in listing.documents
            ),
            key=lambda lease: lease.token,
        )
        self._tell(frozenset(lease.unreadable for lease in leases if lease.unreadable))
        self.listed = leases
        return leases

    async def create(self, lease: Lease) -> bool:
        """Write a new lease under the id of its token; False when there is one already."""
        named = replace(lease, id=self._id(lease.token), etag=None)
        return await self._container.create(document_of(named)) is not None

    async def read(self, token: LeaseToken) -> Lease:
        """The lease as stored now. Raises LeaseMissing."""
        return self._lease(await self._container.read(self._id(token)))

    async def replace(self, lease: Lease) -> Lease:
        """Write under the lease's etag, with the stamp; see `LeaseStore`."""
        stamped = self._stamp(lease)
        etag = await self._container.replace(document_of(stamped), lease.etag)
        return replace(stamped, etag=etag)

    async def delete(self, lease: Lease) -> None:
        """Remove the lease, whatever its etag; a missing one is fine."""
        await self._container.delete(lease.id, partition_key=lease.partition_key)

    def _lease(self, document: Mapping[str, Any]) -> Lease:
        try:
            return lease_of(document)
        except ConfigurationError as error:
            return unreadable_lease(document, self._prefix, str(error))

    def _tell(self, unreadable: frozenset[str]) -> None:
        for error in sorted(unreadable - self._unreadable):
            log.error(LEASE_UNREADABLE, error=error)
        self._unreadable = unreadable

    def _id(self, token: LeaseToken) -> str:
        return lease_id(self._prefix, token)


class CosmosBootstrapMarkers:
    """`BootstrapMarkers` over a lease container."""

    def __init__(self, container: LeaseContainer, *, prefix: str, clock: Clock) -> None:
        """Take the clock to judge locks by in containers that expire nothing."""
        self._container = container
        self._info_id = f"{prefix}.info"
        self._lock_id = f"{prefix}.lock"
        self._clock = clock
        self._held: str | None = None

    async def is_initialized(self) -> bool:
        """Whether `.info` exists."""
        try:
            await self._container.read(self._info_id)
        except LeaseMissing:
            return False
        return True

    async def mark_initialized(self) -> None:
        """Write `.info`; one that exists already is fine."""
        await self._container.create({"id": self._info_id, "ttl": NEVER_EXPIRES})

    async def unmark(self) -> None:
        """Remove `.info`; a missing one is fine."""
        await self._container.delete(self._info_id)

    async def acquire_lock(self, *, seconds: int) -> bool:
        """Create `.lock` with that TTL; one left behind by a crash is taken over."""
        document = {"id": self._lock_id, "ttl": seconds}
        self._held = await self._container.create(document)
        if self._held is None and await self._remove_overdue():
            self._held = await self._container.create(document)
        return self._held is not None

    async def release_lock(self) -> None:
        """Remove the `.lock` this process created; a missing one is fine."""
        held, self._held = self._held, None
        if held is not None:
            await self._container.delete(self._lock_id, etag=held)

    async def _remove_overdue(self) -> bool:
        """Remove a lock that outlived its TTL, as in containers without TTL; True when it is gone."""
        try:
            lock = await self._container.read(self._lock_id)
        except LeaseMissing:
            return True
        if not self._overdue(lock):
            return False
        if _life_seconds(lock) > LONGEST_LOCK_SECONDS:
            log.warning(LOCK_IMPLAUSIBLE, lock=self._lock_id, seconds=_life_seconds(lock))
        return await self._container.delete(self._lock_id, etag=lock.get("_etag"))

    def _overdue(self, lock: Mapping[str, Any]) -> bool:
        written = lock.get("_ts")
        if not isinstance(written, int):
            return False
        seconds = min(_life_seconds(lock), LONGEST_LOCK_SECONDS)
        return self._clock.now().timestamp() - written > seconds


def _life_seconds(lock: Mapping[str, Any]) -> int:
    ttl = lock.get("ttl")
    return ttl if isinstance(ttl, int) and ttl > 0 else DEFAULT_LOCK_SECONDS
