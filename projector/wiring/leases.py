"""What a person may do to leases: look, release, reset; safe beside running hosts.

Every write is a function re-run on the fresh lease until its etag holds. A running host finds its
owner or bookmark changed and gives the range back; it never writes over what was done here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from projector.core import lease as changes
from projector.core.errors import ConfigurationError, LeaseConflict, LeaseMissing
from projector.core.lease import Lease
from projector.core.names import LeaseToken
from projector.ports.feed import LeaseStore

ATTEMPTS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What happened to one lease; `lease` is as it was before."""

    lease: Lease
    changed: bool


def chosen(leases: Sequence[Lease], token: str | None) -> Sequence[Lease]:
    """All leases, or the one of that token.

    Raises:
        ConfigurationError: There is no such lease.
    """
    if token is None:
        return leases
    found = [lease for lease in leases if lease.token == token]
    if not found:
        known = ", ".join(lease.token for lease in leases) or "none"
        raise ConfigurationError(f"there is no lease {token!r}; the lease tokens are: {known}")
    return found


async def release(store: LeaseStore, leases: Sequence[Lease], *, now: datetime) -> Sequence[Done]:
    """Takes the owner out, so that any host may acquire the lease at once; the bookmark stays."""

    def ownerless(lease: Lease) -> Lease | None:
        return None if lease.owner is None else replace(lease, owner=None, timestamp=now)

    return [await _change(store, lease, ownerless) for lease in leases]


async def forget(store: LeaseStore, leases: Sequence[Lease], *, now: datetime) -> Sequence[Done]:
    """Takes owner and bookmark out: the second half of a reset, after PostgreSQL has noted it."""
    return [
        await _change(store, lease, lambda fresh: changes.reset(fresh, now=now)) for lease in leases
    ]


async def _change(store: LeaseStore, lease: Lease, change: Callable[[Lease], Lease | None]) -> Done:
    for _ in range(ATTEMPTS):
        try:
            fresh = await store.read(LeaseToken(lease.token))
            wanted = change(fresh)
            if wanted is None:
                return Done(lease=fresh, changed=False)
            await store.replace(wanted)
        except LeaseConflict:
            continue
        except LeaseMissing:
            return Done(lease=lease, changed=False)
        return Done(lease=fresh, changed=True)
    raise LeaseConflict(f"lease {lease.token} is being written all the time; try again")
