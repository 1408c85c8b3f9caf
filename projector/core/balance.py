"""Which leases a host takes next: equal shares, expired ones first, at most one theft a cycle.

Without `draw` this is the table of .NET's strategy, row by row, in listing order. With it the
same number is chosen, but at random, so that many hosts that see one listing do not all run
for the same lease; thieves hold back when they want more than there is in excess. A large
fleet lists less often (`stretch`); its listers then rescue more than their share, so that the
leases of a dead host still move within one acquire interval, and steal in one cycle what they
may steal in the time until the next.
Source: .NET v3 change feed processor, `EqualPartitionsBalancingStrategy`; Java SDK v4, random
choice among expired leases.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import TypeAlias

from projector.core.lease import Lease
from projector.core.names import InstanceName, LeaseToken

Draw: TypeAlias = Callable[[], float]
"""A random number in [0, 1) on each call."""

LISTERS_PER_INTERVAL = 64
"""Hosts that may list all leases within one acquire interval before they take turns."""

RESCUED_TIMES = 4
"""How often the listers of one interval could take all expired leases: they list at random."""

LEAST_APPETITE = 8
MOST_APPETITE = 1024

LEASES_PER_PAGE = 1000
"""Leases that one page of a listing holds at most, by the service's own limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What one listing says of everybody.

    Attributes:
        total: leases of the processor.
        counts: live leases by owner (case folded), with `me` even when it owns none.
        expired: leases that anybody may take, in listing order.
        live: the others, in listing order.
    """

    total: int
    counts: Mapping[str, int]
    expired: tuple[Lease, ...]
    live: tuple[Lease, ...]

    @property
    def hosts(self) -> int:
        """Hosts that own a live lease, and the one that asks."""
        return len(self.counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one host's share; `max_leases` None is unbounded."""

    min_leases: int = 0
    max_leases: int | None = None


NO_LIMITS = Limits()


def survey(
    leases: Sequence[Lease], *, me: InstanceName, now: datetime, expiration_seconds: float
) -> Fleet:
    """Sort a listing into live and expired leases and count the owners.

    Raises: ValueError when a lease token is listed twice.
    """
    if len({lease.token for lease in leases}) != len(leases):
        tokens = Counter(lease.token for lease in leases)
        twice = sorted(token for token, count in tokens.items() if count > 1)
        raise ValueError(f"lease tokens listed more than once: {', '.join(twice)}")
    expired: list[Lease] = []
    live: list[Lease] = []
    for lease in leases:
        gone = lease.expired(now=now, expiration_seconds=expiration_seconds)
        (expired if gone else live).append(lease)
    counts: Counter[str] = Counter({me.casefold(): 0})
    counts.update(lease.holder_key for lease in live)
    return Fleet(total=len(leases), counts=counts, expired=tuple(expired), live=tuple(live))


def share(fleet: Fleet, limits: Limits = NO_LIMITS) -> int:
    """Leases that one host should hold; the minimum outranks the maximum."""
    target = 1 if fleet.total <= fleet.hosts else ceil(fleet.total / fleet.hosts)
    if limits.max_leases is not None:
        target = min(target, limits.max_leases)
    return max(target, limits.min_leases)


def choose(
    fleet: Fleet,
    *,
    me: InstanceName,
    limits: Limits = NO_LIMITS,
    draw: Draw | None = None,
    held: Collection[LeaseToken] = (),
) -> tuple[Lease, ...]:
    """The leases to acquire now, best first; empty when the share is full.

    Args:
        fleet: the listing, surveyed.
        me: the host that asks.
        limits: bounds of its share.
        draw: None chooses in listing order.
        held: tokens this host must leave alone for now.
    """
    target = share(fleet, limits)
    need = target - fleet.counts[me.casefold()]
    free = [lease for lease in fleet.expired if lease.token not in held]
    if free:
        wanted = max(need, _rescue(fleet, need, limits, me))
        return tuple(_ordered(free, draw)[: max(wanted, 0)])
    if need <= 0:
        return ()
    return _steal(fleet, target=target, need=need, draw=draw, held=held)


def stretch(hosts: int) -> float:
    """How many acquire intervals a host waits between listings; 1 up to 64 hosts."""
    return max(1.0, hosts / LISTERS_PER_INTERVAL)


def cost_seconds(leases: int) -> float:
    """How much longer to wait before listing again out of turn, where a listing has many pages."""
    return max(0.0, leases / LEASES_PER_PAGE - 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Appetite:
    """How many leases a host takes per listing: it doubles while nobody is in the way.

    A crowd that starts together would otherwise grab everything on the first listings, in
    which nobody owns anything, and spend minutes giving it back by thefts.
    """

    leases: int = LEAST_APPETITE

    def after(self, *, crowded: bool) -> Appetite:
        """The next listing's; crowded when most of a few attempts lost to others."""
        if crowded:
            return Appetite(leases=max(LEAST_APPETITE, self.leases // 2))
        return Appetite(leases=min(MOST_APPETITE, self.leases * 2))


def _rescue(fleet: Fleet, need: int, limits: Limits, me: InstanceName) -> int:
    """A lister's part of all expired leases where only some hosts list in an interval."""
    if stretch(fleet.hosts) <= 1.0:
        return need
    part = ceil(len(fleet.expired) * RESCUED_TIMES / LISTERS_PER_INTERVAL)
    if limits.max_leases is not None:
        part = min(part, limits.max_leases - fleet.counts[me.casefold()])
    return part


def _steal(
    fleet: Fleet,
    *,
    target: int,
    need: int,
    draw: Draw | None,
    held: Collection[LeaseToken],
) -> tuple[Lease, ...]:
    most = 1 if draw is None else ceil(stretch(fleet.hosts))
    if draw is not None and not _acts(fleet, target=target, need=need, most=most, draw=draw):
        return ()
    counts = dict(fleet.counts)
    taken: Counter[str] = Counter()
    for lacking in range(need, max(0, need - most), -1):
        threshold = _threshold(target, lacking)
        rich = {owner: count for owner, count in counts.items() if count > threshold}
        if not rich:
            break
        owner = _busiest(rich, threshold, draw)
        counts[owner] -= 1
        taken[owner] += 1
    return _stolen(fleet, taken, draw=draw, held=held)


def _threshold(target: int, need: int) -> int:
    """Only owners of more than that are stolen from: a stealing host one short leaves a fair owner alone."""
    return target - (1 if need > 1 else 0)


def _stolen(
    fleet: Fleet,
    taken: Counter[str],
    *,
    draw: Draw | None,
    held: Collection[LeaseToken],
) -> tuple[Lease, ...]:
    """As many leases of each owner as were chosen."""
    left = Counter(taken)
    stolen: list[Lease] = []
    owned = [lease for lease in fleet.live if lease.holder_key in taken]
    for lease in _ordered(owned, draw):
        owner = lease.holder_key
        if left[owner] and lease.token not in held:
            left[owner] -= 1
            stolen.append(lease)
    return tuple(stolen)


def _acts(fleet: Fleet, *, target: int, need: int, most: int, draw: Draw) -> bool:
    """Whether this stealing host acts: all who do together take the leases in excess, on average."""
    threshold = _threshold(target, need)
    excess = sum(max(0, count - threshold) for count in fleet.counts.values())
    wanted = sum(min(most, max(0, threshold - count)) for count in fleet.counts.values())
    return draw() * wanted < excess


def _busiest(rich: Mapping[str, int], threshold: int, draw: Draw | None) -> str:
    """The busiest owner, the last one listed among equals; by lot, weighted by excess, with `draw`."""
    if draw is None:
        most = max(rich.values())
        return [owner for owner, count in rich.items() if count == most][-1]
    ticket = draw() * sum(count - threshold for count in rich.values())
    for owner, count in rich.items():
        ticket -= count - threshold
        if ticket < 0:
            return owner
    return list(rich)[-1]


def _ordered(leases: Sequence[Lease], draw: Draw | None) -> Sequence[Lease]:
    if draw is None:
        return leases
    return [lease for _, _, lease in sorted((draw(), i, lease) for i, lease in enumerate(leases))]
