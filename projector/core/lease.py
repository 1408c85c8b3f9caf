"""The lease document as a value, and the changes that may be made to it.

Shape: .NET v3 change feed processor, versions 0 (physical range) and 1 (key range). Fields
this program does not know are kept in `unknown` and written back. Every change is a pure
function; the updater in `projector.processor` re-runs it on the fresh document after a
conflict, except the checkpoint, which gives up.
Source: docs/reference/lease-document.md.

The mode of the feed that leases were written in; it must not change under a name.

A bookmark of the all-versions-and-deletes feed is no continuation of the latest-version feed.
Source: .NET v3 change feed processor, mode switch check; leases of older writers have no mode
and mean this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from projector.core.errors import ConfigurationError, LeaseLost
from projector.core.names import Continuation, Holder, InstanceName, LeaseToken
from projector.core.ranges import FeedRange

START_FROM_PROPERTY = "startFrom"
DELIVERED_PROPERTY = "delivered"
INCARNATION_PROPERTY = "incarnation"
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
        rival: set in a listing when another run of the listing host's own name holds it.
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
    rival: str | None = field(default=None, compare=False)
    unknown: Mapping[str, Any] = field(default_factory=dict)
    unreadable: str | None = None

    def owned_by(self, name: InstanceName) -> bool:
        """Whether this host owns it; case does not count, as in .NET and Java."""
        return self.owner is not None and self.owner.casefold() == name.casefold()

    @property
    def incarnation(self) -> str:
        """Which run of its owner took it; empty when that was not told."""
        return self.properties.get(INCARNATION_PROPERTY, "")

    def held_by(self, me: Holder) -> bool:
        """Whether this very run of this host owns it."""
        return self.owned_by(me.name) and self.incarnation == me.incarnation

    @property
    def holder_key(self) -> str:
        """What tells the hosts of a listing apart; empty without an owner."""
        name = (self.owner or "").casefold()
        return name if self.rival is None else f"{name}#{self.rival}"

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


def acquire(lease: Lease, *, me: Holder, seen: Lease, now: datetime) -> Lease:
    """Take the lease, if its owner is still the one seen when it was chosen."""
    if lease.unreadable is not None:
        raise LeaseLost(lease.unreadable)
    if (lease.owner, lease.incarnation) != (seen.owner, seen.incarnation):
        raise LeaseLost(f"lease {lease.token} was taken by {lease.owner!r} meanwhile")
    return replace(
        lease, owner=me.name, properties=_marked(lease.properties, me), timestamp=now, rival=None
    )


def renew(lease: Lease, *, me: Holder, written: Continuation | None, now: datetime) -> Lease:
    """Show that the owner lives; refused when owner or bookmark were changed by others."""
    _check_held(lease, me=me, written=written)
    return replace(lease, timestamp=now)


def checkpoint(
    lease: Lease,
    *,
    me: Holder,
    written: Continuation | None,
    continuation: Continuation,
    properties: Mapping[str, str],
    now: datetime,
) -> Lease:
    """Write the bookmark; refused when owner or bookmark were changed by others."""
    if not continuation:
        raise ValueError("a checkpoint needs a continuation")
    _check_held(lease, me=me, written=written)
    return replace(
        lease, continuation=continuation, properties=_marked(properties, me), timestamp=now
    )


def release(lease: Lease, *, me: Holder, now: datetime) -> Lease:
    """Give the lease back; the bookmark stays."""
    check_holder(lease, me)
    return replace(lease, owner=None, timestamp=now)


def reset(lease: Lease, *, now: datetime) -> Lease:
    """Forget bookmark and owner, whoever holds it."""
    return replace(
        lease, owner=None, continuation=None, properties={}, timestamp=now, unreadable=None
    )


def put_back(lease: Lease, continuation: Continuation, *, now: datetime) -> Lease:
    """Set the bookmark to one that was saved and forget the owner, whoever holds it.

    It counts as one that has passed a change: a person chose it, so no START_FROM moves it.
    """
    properties = dict(lease.properties)
    if START_FROM_PROPERTY in properties:
        properties[DELIVERED_PROPERTY] = "true"
    return replace(
        lease,
        owner=None,
        continuation=continuation,
        properties=properties,
        timestamp=now,
        unreadable=None,
    )


def check_holder(lease: Lease, me: Holder) -> None:
    """Make sure that this run of this host owns it. Raises LeaseLost."""
    if not lease.owned_by(me.name):
        raise LeaseLost(f"lease {lease.token} belongs to {lease.owner!r}")
    if not lease.held_by(me):
        raise LeaseLost(f"lease {lease.token}: {name_shared(me.name)}")


def name_shared(name: InstanceName) -> str:
    """What to tell when two hosts go by one name."""
    return f"another host runs as {name!r}, too: give each a PROJECTOR_INSTANCE_NAME of its own, or none"


def _check_held(lease: Lease, *, me: Holder, written: Continuation | None) -> None:
    check_holder(lease, me)
    if lease.continuation != written:
        raise LeaseLost(f"the bookmark of lease {lease.token} was changed by somebody else")


def _marked(properties: Mapping[str, str], me: Holder) -> Mapping[str, str]:
    return {**properties, INCARNATION_PROPERTY: me.incarnation} if me.incarnation else properties


LATEST_VERSION = "Incremental Feed"


def check_mode(leases: Iterable[Lease]) -> None:
    """Refuse leases of another mode. Raises: ConfigurationError."""
    for lease in leases:
        mode = lease.mode or LATEST_VERSION
        if mode.casefold() != LATEST_VERSION.casefold():
            raise ConfigurationError(
                f"Switching ChangeFeedMode {mode} to {LATEST_VERSION} is not allowed:"
                f" lease {lease.token} is of another kind of feed; use another processor name"
            )
