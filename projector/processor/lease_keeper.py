"""All writes of one host to one lease, one after the other.

Every change is a pure function of `projector.core.lease`, run on the cached document and,
after a conflict, again on the fresh one, six times at most. The keeper remembers the bookmark
this host wrote last: a lease that bears another one, or another owner, was taken or reset by
somebody else and is never overwritten (`LeaseLost`). A write whose answer got lost may have
been done; its bookmark counts as ours when it is found.
Source: .NET v3 change feed processor, lease updater; docs/reference/lease-document.md.

Keeps the lease alive, apart from processing: a slow target never loses it.

The first renewal comes after half an interval; a bookmark counts as one. An outage of the
lease container is retried at the next turn; a lost lease ends the range.
Source: .NET v3 change feed processor, lease renewer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import structlog

from projector.core import lease as changes
from projector.core.errors import Disposition, LeaseConflict, LeaseLost, ProjectorError
from projector.core.lease import Lease
from projector.core.names import Continuation, Holder, LeaseToken
from projector.ports.feed import Clock, LeaseStore
from projector.processor.events import Event
from projector.processor.status import RangeStatus

ATTEMPTS = 6


class LeaseKeeper:
    """One lease as this host holds it."""

    def __init__(self, *, store: LeaseStore, clock: Clock, me: Holder, lease: Lease) -> None:
        self._store = store
        self._clock = clock
        self._me = me
        self._lease = lease
        self.seen = lease
        """The lease as it was before this host took it."""
        self._written = lease.continuation
        self._attempted: set[Continuation] = set()
        self._writing = asyncio.Lock()
        self.written_at = clock.monotonic()
        """Monotonic time of the last write that succeeded."""

    @property
    def lease(self) -> Lease:
        """The lease as last read or written."""
        return self._lease

    @property
    def token(self) -> LeaseToken:
        """Its token."""
        return self._lease.token

    async def acquire(self) -> Lease:
        """Take the lease from the owner it had when it was listed.

        Raises: LeaseLost when somebody else took it first; LeaseMissing; LeaseStoreUnavailable.
        """

        def take(lease: Lease) -> Lease:
            return changes.acquire(lease, me=self._me, seen=self.seen, now=self._clock.now())

        taken = await self._update(take)
        self._written = taken.continuation
        return taken

    async def refresh(self) -> Lease:
        """Read the lease as stored now, and take its bookmark for the one in force.

        Only before reading begins: later another bookmark means that the lease is lost.
        """
        async with self._writing:
            lease = await self._store.read(self.token)
            changes.check_holder(lease, self._me)
            self._lease = lease
            self._written = lease.continuation
            return lease

    async def verify(self) -> None:
        """Read the lease as stored now. Raises: LeaseLost when owner or bookmark are not ours."""
        async with self._writing:
            lease = await self._store.read(self.token)
            self._recognize(lease)
            self._lease = lease
            changes.renew(lease, me=self._me, written=self._written, now=self._clock.now())

    async def renew(self) -> None:
        """Show that this host lives."""
        await self._update(
            lambda lease: changes.renew(
                lease, me=self._me, written=self._written, now=self._clock.now()
            )
        )

    async def checkpoint(self, continuation: Continuation, properties: Mapping[str, str]) -> None:
        """Write the bookmark; the caller has committed everything before it.

        Raises: LeaseLost when owner or bookmark are not the ones this host wrote last.
        """

        def bookmark(lease: Lease) -> Lease:
            return changes.checkpoint(
                lease,
                me=self._me,
                written=self._written,
                continuation=continuation,
                properties=properties,
                now=self._clock.now(),
            )

        await self._update(bookmark, attempted=continuation)

    async def release(self) -> None:
        """Give the lease back; the bookmark stays. A missing lease raises LeaseMissing."""
        await self._update(lambda lease: changes.release(lease, me=self._me, now=self._clock.now()))

    async def _update(
        self, change: Callable[[Lease], Lease], *, attempted: Continuation | None = None
    ) -> Lease:
        async with self._writing:
            for _ in range(ATTEMPTS):
                changed = change(self._lease)
                if attempted is not None:
                    self._attempted.add(attempted)
                try:
                    return self._wrote(await self._store.replace(changed))
                except LeaseConflict:
                    self._lease = await self._store.read(self.token)
                    self._recognize(self._lease)
        raise LeaseLost(f"lease {self.token} was changed by others {ATTEMPTS} times in a row")

    def _wrote(self, lease: Lease) -> Lease:
        self._lease = lease
        self._recognize(lease)
        self._attempted.clear()
        self.written_at = self._clock.monotonic()
        return lease

    def _recognize(self, lease: Lease) -> None:
        if lease.continuation in self._attempted:
            self._written = lease.continuation


log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Renewer:
    """The renewing task of one range."""

    def __init__(
        self, *, keeper: LeaseKeeper, clock: Clock, renew_seconds: float, status: RangeStatus
    ) -> None:
        self._keeper = keeper
        self._clock = clock
        self._renew_seconds = renew_seconds
        self._status = status

    async def run(self) -> None:
        """Renew until cancelled. Raises: LeaseLost, LeaseMissing."""
        await self._clock.sleep(self._renew_seconds / 2)
        while True:
            fresh_for = self._keeper.written_at + self._renew_seconds / 2 - self._clock.monotonic()
            if fresh_for > 0:
                await self._clock.sleep(fresh_for)
                continue
            await self._renew()
            await self._clock.sleep(self._renew_seconds)

    async def _renew(self) -> None:
        try:
            await self._keeper.renew()
        except ProjectorError as error:
            if error.disposition is not Disposition.RETRY:
                raise
            self._status.note(error)
            log.warning(
                Event.RENEWAL_FAILED,
                lease=self._keeper.token,
                error=f"{type(error).__name__}: {error}",
            )
