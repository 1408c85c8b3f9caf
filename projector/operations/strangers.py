"""Leases tell which database they are kept for, so that two databases never share them unawares.

Each write of a host to a lease that it owns stamps the lease. A host that meets leases which a living
host keeps for another database stops before it takes any: each would keep the other from half of
the ranges. Living is proved, not believed: a lease that is written under the other stamp while we
look. What nobody writes any more (the database was rebuilt, or put back from a backup elsewhere) is
taken over, and said.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

import structlog

from projector.core.errors import ConfigurationError, ProjectorError
from projector.core.lease import TARGET_PROPERTY, Lease
from projector.core.names import InstanceName, LeaseToken
from projector.ports.copy import TargetIdentity
from projector.ports.feed import Clock, LeaseStore
from projector.processor.refusals import Refusals
from projector.telemetry.logs import Event

LOOK_SECONDS = 1.0
GUARD_SECONDS = 5.0
PROOF_SECONDS = 10.0
"""A host whose database was replaced knows it after GUARD_SECONDS, and stamps anew from then on."""

NOBODY = InstanceName("")

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Stamp:
    """What a host writes into each lease that it owns; its database may be replaced while it runs."""

    me: InstanceName
    target: TargetIdentity

    def on(self, lease: Lease) -> Lease:
        """The lease as it is to be written."""
        if not lease.owned_by(self.me):
            return lease
        return replace(lease, properties={**lease.properties, TARGET_PROPERTY: str(self.target)})


@dataclass(slots=True, kw_only=True)
class Strangers:
    """Leases that are kept for another database: since when we see each, and as it was last."""

    me: InstanceName
    clock: Clock
    expiration_seconds: float
    _seen: dict[LeaseToken, tuple[float, Lease]] = field(default_factory=dict)

    def among(self, leases: Sequence[Lease], mine: TargetIdentity) -> Sequence[Lease]:
        """Those with an owner and a stamp that are not ours."""
        return [
            lease
            for lease in leases
            if lease.owner is not None and not lease.owned_by(self.me) and _other(lease, mine)
        ]

    def fresh(self, leases: Sequence[Lease]) -> Sequence[Lease]:
        """Those whose owner may be alive."""
        now = self.clock.now()
        return [
            lease
            for lease in leases
            if not lease.expired(now=now, expiration_seconds=self.expiration_seconds)
        ]

    def proved_alive(self, leases: Sequence[Lease]) -> Lease | None:
        """One whose owner still writes it under its stamp, long after it could know better."""
        now = self.clock.monotonic()
        before, self._seen = self._seen, {}
        alive = None
        for lease in leases:
            since, last = before.get(lease.token, (now, lease))
            if (_stamp(last), last.owner) != (_stamp(lease), lease.owner):
                since, last = now, lease
            self._seen[lease.token] = since, lease
            if last.etag != lease.etag and now - since >= PROOF_SECONDS:
                alive = alive or lease
        return alive


def refuse_strangers(
    leases: Sequence[Lease], mine: TargetIdentity, *, clock: Clock, expiration: float
) -> None:
    """For a command that writes leases once and waits for nothing: an owner may be alive.

    Raises:
        ConfigurationError: Somebody keeps one of them for another database.
    """
    strangers = Strangers(me=NOBODY, clock=clock, expiration_seconds=expiration)
    found = strangers.fresh(strangers.among(leases, mine))
    if found:
        raise ConfigurationError(shared(found[0], mine))


@dataclass(slots=True, kw_only=True)
class Guard:
    """Watches for strangers before a host starts and while it runs; `conflict`: what it found then."""

    me: InstanceName
    clock: Clock
    expiration_seconds: float
    conflict: str | None = None

    async def meet(self, leases: LeaseStore, mine: Stamp) -> None:
        """Make sure at the start that no living host keeps these leases for another database.

        Raises:
            ConfigurationError: One does; names both databases and says what to set.
            LeaseStoreUnavailable, Throttled: They cannot be looked at now.
        """
        strangers = self._strangers()
        deadline = self.clock.monotonic() + self.expiration_seconds + PROOF_SECONDS
        told = False
        while True:
            listed = await leases.list_leases()
            others = strangers.fresh(strangers.among(listed, mine.target))
            if not others or self.clock.monotonic() > deadline:
                break
            alive = strangers.proved_alive(others)
            if alive is not None:
                raise ConfigurationError(shared(alive, mine.target))
            if not told:
                told = True
                log.warning(Event.LEASES_OF_ANOTHER_TARGET, error=shared(others[0], mine.target))
            await self.clock.sleep(LOOK_SECONDS)
        left = {_stamp(lease) for lease in listed if _other(lease, mine.target)}
        if left:
            log.warning(Event.LEASES_ADOPTED, before=sorted(map(str, left)), now=str(mine.target))

    async def run(
        self,
        mine: Stamp,
        *,
        listed: Callable[[], Sequence[Lease]],
        identity: Callable[[], Awaitable[TargetIdentity]],
    ) -> None:
        """Look at what the host listed last, until cancelled; keeps its stamp right."""
        strangers = self._strangers()
        refusals = Refusals("asking PostgreSQL which database it is")
        while True:
            await self.clock.sleep(GUARD_SECONDS)
            try:
                with refusals.told():
                    mine.target = await identity()
            except ProjectorError:
                continue  # who we are is unknown now: nobody is a stranger
            others = strangers.among(listed(), mine.target)
            alive = strangers.proved_alive(strangers.fresh(others))
            if alive is not None and self.conflict is None:
                self.conflict = shared(alive, mine.target)
                log.error(Event.LEASES_OF_ANOTHER_TARGET, error=self.conflict)
            elif not others:
                self.conflict = None

    def _strangers(self) -> Strangers:
        return Strangers(me=self.me, clock=self.clock, expiration_seconds=self.expiration_seconds)


def shared(lease: Lease, mine: TargetIdentity) -> str:
    """What to tell of a lease that is kept for another database."""
    return (
        f"host {lease.owner!r} keeps lease {lease.token} for another database,"
        f" {_stamp(lease)!r}, while this host writes to {str(mine)!r}: give this one leases of its"
        " own with PROJECTOR_PROCESSOR_NAME or PROJECTOR_LEASE_CONTAINER; or, to take these over,"
        " stop that host first (one that was killed: wait until its leases have expired)"
    )


def _stamp(lease: Lease) -> str | None:
    return lease.properties.get(TARGET_PROPERTY)


def _other(lease: Lease, mine: TargetIdentity) -> bool:
    stamp = _stamp(lease)
    return stamp is not None and stamp.split(" ", 1)[0] != mine.id
