"""Listings for balancing tests: who owns what, alive or expired."""

from __future__ import annotations

from datetime import timedelta

from projector.core.lease import Lease
from projector.core.names import InstanceName, LeaseToken
from tests.fakes.clock import START

EXPIRATION_SECONDS = 60.0


def lease(token: object, owner: str | None = None, *, age_seconds: float = 1.0) -> Lease:
    """A lease last written `age_seconds` ago."""
    return Lease(
        id=str(token),
        token=LeaseToken(str(token)),
        owner=None if owner is None else InstanceName(owner),
        timestamp=START - timedelta(seconds=age_seconds),
    )


def listing(*groups: tuple[str | None, int] | tuple[str | None, int, str]) -> list[Lease]:
    """Leases in groups of (owner, count[, "expired"]); tokens are numbers in listing order."""
    leases: list[Lease] = []
    for owner, count, *rest in groups:
        age = 100.0 if rest else 1.0
        leases += [lease(len(leases) + n, owner, age_seconds=age) for n in range(count)]
    return leases
