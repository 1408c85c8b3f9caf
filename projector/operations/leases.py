"""What a person may do to leases: look, release, reset; safe beside running hosts.

Every write is a function re-run on the fresh lease until its etag holds. A running host finds its
owner or bookmark changed and gives the range back; it never writes over what was done here. A reset
notes the replay in PostgreSQL first: it outranks the bookmarks that are still there, so a crash in
between costs nothing, and it fences the hosts that run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from projector.core import lease as changes
from projector.core.bookmarks import before_reset
from projector.core.coverage import range_of
from projector.core.errors import (
    ConfigurationError,
    LeaseConflict,
    LeaseMissing,
    OtherSource,
    ProjectionChanged,
    SourceRecreated,
)
from projector.core.lease import Lease
from projector.core.names import LeaseToken, SourceIdentity
from projector.core.ranges import FeedRange
from projector.operations.forecast import Forecast
from projector.operations.strangers import refuse_strangers
from projector.ports.copy import CopiedSource, TargetIdentity
from projector.ports.feed import ChangeSource, Clock, LeaseStore

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

    return [await change(store, lease, ownerless) for lease in leases]


async def forget(store: LeaseStore, leases: Sequence[Lease], *, now: datetime) -> Sequence[Done]:
    """Takes owner and bookmark out: the second half of a reset, after PostgreSQL has noted it."""
    return [
        await change(store, lease, lambda fresh: changes.reset(fresh, now=now)) for lease in leases
    ]


async def change(store: LeaseStore, lease: Lease, made: Callable[[Lease], Lease | None]) -> Done:
    """Write what `made` makes of the fresh lease, again and again until its etag holds.

    Raises:
        LeaseConflict: Somebody writes it all the time.
    """
    for _ in range(ATTEMPTS):
        try:
            fresh = await store.read(LeaseToken(lease.token))
            wanted = made(fresh)
            if wanted is None:
                return Done(lease=fresh, changed=False)
            await store.replace(wanted)
        except LeaseConflict:
            continue
        except LeaseMissing:
            return Done(lease=lease, changed=False)
        return Done(lease=fresh, changed=True)
    raise LeaseConflict(f"lease {lease.token} is being written all the time; try again")


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What a person has agreed to.

    Attributes:
        new_source: follow a container that was created again under its name.
        other_source: follow another container; its name as it was typed.
        new_projection: read the container again under another filter.
    """

    new_source: bool = False
    other_source: str | None = None
    new_projection: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Container, leases and target, reached.

    Attributes:
        found: what the target copies; None: nothing yet.
        target: which database it is.
        rid, identity: of the container that the settings name.
    """

    leases: LeaseStore
    source: ChangeSource
    clock: Clock
    expiration_seconds: float
    found: CopiedSource | None
    target: TargetIdentity
    rid: str
    identity: SourceIdentity

    async def keys_of(self, found: Sequence[Lease]) -> Sequence[FeedRange]:
        """The keys of these leases, as far as anybody can tell them."""
        physical = await self.source.physical_ranges()
        told = [range_of(lease, physical) for lease in found]
        return [keys for keys in told if keys is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetSides:
    """Both sides, with what a reset commits in the target.

    Attributes:
        accept_new_source, accept_projection: the container is followed, or read under this filter.
        request_replay: these ranges are read again; None: all. Where they were is kept under that name.
        foresee: tells what that costs.
    """

    both: Sides
    accept_new_source: Callable[[], Awaitable[object]]
    accept_projection: Callable[[], Awaitable[object]]
    request_replay: Callable[[Sequence[FeedRange] | None, str], Awaitable[object]]
    foresee: Callable[[Sequence[FeedRange] | None], Awaitable[Forecast]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """A reset that may still be looked at or called off.

    Attributes:
        token: the one lease meant; None means everything.
        follows: `_rid` of the container to follow from now on; None keeps the one followed.
        projects: the filter to read the container under from now on; None keeps the one there is.
        before: the snapshot of where the ranges were, where one can be kept.
    """

    sides: ResetSides
    chosen: Sequence[Lease]
    token: str | None
    follows: str | None
    projects: str | None
    before: str

    async def carry_out(self) -> Sequence[Done]:
        """Does it.

        1. The container to follow, or the filter, if it is another one. 2. The replays, in
        PostgreSQL. 3. The leases, one by one.

        Raises:
            SourceRecreated: The container is another one and nobody said to follow it.
        """
        if self.follows is not None:
            await self.sides.accept_new_source()
        if self.projects is not None:
            await self.sides.accept_projection()
        await self.sides.request_replay(await self._keys(), self.before)
        return await forget(self.sides.both.leases, self.chosen, now=self.sides.both.clock.now())

    async def forecast(self) -> Forecast:
        """What reading again will cost. Raises: FeedError, SinkUnavailable."""
        return await self.sides.foresee(await self._keys())

    async def _keys(self) -> Sequence[FeedRange] | None:
        return None if self.token is None else await self.sides.both.keys_of(self.chosen)


async def prepared(sides: ResetSides, *, token: str | None, consent: Consent) -> Reset:
    """Looks at what a reset would change; nothing is written before `carry_out`.

    Raises:
        ConfigurationError: There is no lease of that token, a host keeps one for another database,
            or what is copied is not what the settings say and `consent` does not go that far.
        SourceRecreated: The container was created again, and nobody agreed to follow it.
    """
    both = sides.both
    follows = _follows(both, consent)
    projects = None if follows else _projects(both, token, consent)
    leases = chosen(await both.leases.list_leases(), token)
    refuse_strangers(leases, both.target, clock=both.clock, expiration=both.expiration_seconds)
    return Reset(
        sides=sides,
        chosen=leases,
        token=token,
        follows=follows,
        projects=projects,
        before=before_reset(both.clock.now()),
    )


def _follows(sides: Sides, consent: Consent) -> str | None:
    """The `_rid` to follow from now on; None when it is followed already."""
    typed, named = consent.other_source, str(sides.identity.name)
    if typed is not None and typed != named:
        raise ConfigurationError(
            f"--accept-other-source says {typed}, your settings say {named}: type the name of the"
            " container that the settings name"
        )
    if sides.found is None:
        return None
    try:
        sides.found.refuse_other(sides.rid, sides.identity)
    except SourceRecreated:
        if not (consent.new_source or typed):
            raise
    except OtherSource:
        if typed is None:
            raise
    else:
        return None
    return sides.rid


def _projects(sides: Sides, token: str | None, consent: Consent) -> str | None:
    """The filter to read under from now on; None when the rows were made under it."""
    if sides.found is None:
        return None
    try:
        sides.found.refuse_other_projection(sides.identity)
    except ProjectionChanged:
        if not consent.new_projection:
            raise
    else:
        return None
    if token is not None:
        raise ConfigurationError("another filter is for the whole container: leave out --range")
    return sides.identity.projection
