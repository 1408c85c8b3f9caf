"""The lease document as a value, and the changes that may be made to it.

Shape: .NET v3 change feed processor, versions 0 (physical range) and 1 (key range). Fields
this program does not know are kept in `unknown` and written back. Every change is a pure
function; the updater in `projector.processor` re-runs it on the fresh document after a
conflict, except the checkpoint, which gives up.
Source: docs/reference/lease-document.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from projector.core.errors import LeaseLost
from projector.core.names import Continuation, InstanceName, LeaseToken
from projector.core.ranges import FeedRange

START_FROM_PROPERTY = "startFrom"
DELIVERED_PROPERTY = "delivered"
TARGET_PROPERTY = "target"
"""Which target a lease is kept for; in the bag of texts that .NET carries along unread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """One lease.

    Attributes:
        version: 0 for a physical partition, 1 for a key range.
        feed_range: None only in documents of old writers.
        continuation: the bookmark; None until the first checkpoint.
        timestamp: time of the last write by a host, aware, UTC.
        partition_key: the document's own partition key where the container has `/partitionKey`.
        etag: of the stored document; None before it is created.
        idle_seconds: since its last write when it was listed, by the service's clock alone; None
            when the service did not tell.
        unknown: fields of other writers, written back unchanged.
        unreadable: why the document cannot be understood; then only its token, and a token that is
            a key range, are known, and nobody may take it before a reset.
    """

    id: str
    token: LeaseToken
    version: int = 0
    feed_range: FeedRange | None = None
    owner: InstanceName | None = None
    continuation: Continuation | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    timestamp: datetime | None = None
    mode: str | None = "Incremental Feed"
    partition_key: str | None = None
    etag: str | None = None
    idle_seconds: float | None = field(default=None, compare=False)
    unknown: Mapping[str, Any] = field(default_factory=dict)
    unreadable: str | None = None

    def owned_by(self, name: InstanceName) -> bool:
        """Whether this host owns it; case does not count, as in .NET and Java."""
        return self.owner is not None and self.owner.casefold() == name.casefold()

    def expired(self, *, now: datetime, expiration_seconds: float) -> bool:
        """Whether anybody may take it: no owner, or not renewed for too long.

        The service's own clock decides where it is known: by `timestamp` and `now`, which are those
        of two hosts, one whose clock is wrong takes the leases of all others, and one that wrote a
        time to come keeps its own for ever.
        """
        if not self.owner:
            return True
        if self.idle_seconds is not None:
            return self.idle_seconds > expiration_seconds
        return self.timestamp is None or self.timestamp < now - timedelta(
            seconds=expiration_seconds
        )

    @property
    def anchored_from(self) -> str | None:
        """START_FROM text while no delivered change has passed the bookmark, else None."""
        if DELIVERED_PROPERTY in self.properties:
            return None
        return self.properties.get(START_FROM_PROPERTY)


def acquire(
    lease: Lease, *, name: InstanceName, seen_owner: InstanceName | None, now: datetime
) -> Lease:
    """Take the lease, if its owner is still the one seen when it was chosen."""
    if lease.unreadable is not None:
        raise LeaseLost(lease.unreadable)
    if lease.owner != seen_owner:
        raise LeaseLost(f"lease {lease.token} was taken by {lease.owner!r} meanwhile")
    return replace(lease, owner=name, timestamp=now)


def renew(
    lease: Lease, *, name: InstanceName, written: Continuation | None, now: datetime
) -> Lease:
    """Show that the owner lives; refused when owner or bookmark were changed by others."""
    _check_held(lease, name=name, written=written)
    return replace(lease, timestamp=now)


def checkpoint(
    lease: Lease,
    *,
    name: InstanceName,
    written: Continuation | None,
    continuation: Continuation,
    properties: Mapping[str, str],
    now: datetime,
) -> Lease:
    """Write the bookmark; refused when owner or bookmark were changed by others."""
    if not continuation:
        raise ValueError("a checkpoint needs a continuation")
    _check_held(lease, name=name, written=written)
    return replace(lease, continuation=continuation, properties=properties, timestamp=now)


def release(lease: Lease, *, name: InstanceName, now: datetime) -> Lease:
    """Give the lease back; the bookmark stays."""
    if not lease.owned_by(name):
        raise LeaseLost(f"lease {lease.token} belongs to {lease.owner!r}")
    return replace(lease, owner=None, timestamp=now)


def reset(lease: Lease, *, now: datetime) -> Lease:
    """Forget bookmark and owner, whoever holds it."""
    return replace(
        lease, owner=None, continuation=None, properties={}, timestamp=now, unreadable=None
    )


def _check_held(lease: Lease, *, name: InstanceName, written: Continuation | None) -> None:
    if not lease.owned_by(name):
        raise LeaseLost(f"lease {lease.token} belongs to {lease.owner!r}")
    if lease.continuation != written:
        raise LeaseLost(f"the bookmark of lease {lease.token} was changed by somebody else")
