"""Which leases are missing so that every key of the container is read by exactly one.

A physical range needs no lease of its own when one stands for it already: by its id, by the
id of an ancestor (a split that has not been finished: creating children here would start
them without a position), or by key range. Where leases cover a part only, the rest gets a
key-range lease. Pure; the bootstrapper carries it out.
Source: .NET v3 change feed processor, partition synchronizer; Java SDK v4, rule of the `parents`;
docs/reference/conformance.md, checks 24, 25 and 27.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from projector.core.lease import Lease
from projector.core.names import LeaseToken
from projector.core.ranges import FULL_RANGE, FeedRange, uncovered

DIGITS = 32
"""Hexadecimal digits of a key that tell how wide a range is."""


class Physical(Protocol):
    """One physical partition, as `projector.ports.feed.PhysicalRange` describes it."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def feed_range(self) -> FeedRange:
        """Its keys."""

    @property
    def parents(self) -> tuple[str, ...]:
        """All ids it came from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingLease:
    """A lease to create; it lies in the physical partition `range_id`."""

    token: LeaseToken
    version: int
    feed_range: FeedRange
    range_id: str


def missing_leases(physical: Sequence[Physical], leases: Sequence[Lease]) -> list[MissingLease]:
    """The leases to create, lowest range first; empty when all keys are covered."""
    covered = [lease.feed_range for lease in leases if lease.feed_range is not None]
    tokens = {str(lease.token) for lease in leases if lease.version == 0}
    missing: list[MissingLease] = []
    for part in physical:
        if part.id in tokens or not tokens.isdisjoint(part.parents):
            continue
        missing.extend(_lacking(part, covered))
    return missing


def gaps(leases: Sequence[Lease]) -> Sequence[FeedRange]:
    """The keys that no lease covers, judged by the leases alone.

    Empty also when a lease of an old writer does not tell its range: then only the physical
    ranges can answer.
    """
    if any(lease.feed_range is None for lease in leases):
        return ()
    return uncovered(FULL_RANGE, [lease.feed_range for lease in leases if lease.feed_range])


def overlapping(leases: Sequence[Lease]) -> bool:
    """Whether two leases share a key: so it is while a split is finished, and hardly ever else."""
    return any(len(crowd) > 1 for crowd in _crowds(leases))


def spare_leases(leases: Sequence[Lease], physical: Sequence[Physical]) -> frozenset[LeaseToken]:
    """Leases over keys of wider ones that no split or merge of partitions makes.

    Whoever took one would cut the wider leases to pieces, one more for each. They are not needed: the
    wider ones cover their keys.
    """
    spare: set[LeaseToken] = set()
    for crowd in _crowds(leases):
        needed: list[FeedRange] = []
        for keys, token in sorted(crowd, key=lambda one: (-_width(one[0]), one)):
            wider = [one for one in needed if one.overlaps(keys)]
            pieces = all(_is_piece(keys, one, physical) for one in wider)
            if pieces or uncovered(keys, wider):
                needed.append(keys)
            else:
                spare.add(token)
    return frozenset(spare)


def range_of(lease: Lease, physical: Sequence[Physical]) -> FeedRange | None:
    """The keys of a lease that may not tell them; None when its partition left no trace."""
    if lease.feed_range is not None:
        return lease.feed_range
    parts = [part for part in physical if part.id == lease.token]
    parts = parts or [part for part in physical if lease.token in part.parents]
    if not parts:
        return None
    return FeedRange(
        min=min(part.feed_range.min for part in parts),
        max=max(part.feed_range.max for part in parts),
    )


def _crowds(leases: Sequence[Lease]) -> list[list[tuple[FeedRange, LeaseToken]]]:
    """The leases that share keys, directly or by others between them; most are alone."""
    known = [(lease.feed_range, lease.token) for lease in leases if lease.feed_range is not None]
    crowds: list[list[tuple[FeedRange, LeaseToken]]] = []
    reached = ""
    for keys, token in sorted(known):
        if not crowds or keys.min >= reached:
            crowds.append([])
        crowds[-1].append((keys, token))
        reached = max(reached, keys.max)
    return crowds


def _width(keys: FeedRange) -> int:
    low, high = (int(bound.ljust(DIGITS, "0")[:DIGITS], 16) for bound in (keys.min, keys.max))
    return high - low


def _is_piece(keys: FeedRange, whole: FeedRange, physical: Sequence[Physical]) -> bool:
    return any(
        part.feed_range.overlaps(whole) and whole.clip(part.feed_range) == keys for part in physical
    )


def _lacking(part: Physical, covered: Sequence[FeedRange]) -> list[MissingLease]:
    open_parts = uncovered(part.feed_range, covered)
    if list(open_parts) == [part.feed_range]:
        token = LeaseToken(part.id)
        return [MissingLease(token=token, version=0, feed_range=part.feed_range, range_id=part.id)]
    return [
        MissingLease(token=LeaseToken(str(gap)), version=1, feed_range=gap, range_id=part.id)
        for gap in open_parts
    ]
