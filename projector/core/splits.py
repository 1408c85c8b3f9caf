"""What becomes of a lease when the physical partitions under it split or merge.

A partition's lease (version 0) is replaced by one lease per child, or, after a merge, by one
key-range lease (version 1) for its own former keys. A key-range lease is cut at the borders
of the present partitions, or stays as it is while it lies inside one. Sub-ranges never widen.
Every child takes over the position it is given and the properties; ids are the store's affair.
Source: .NET v3 change feed processor, split and merge handling; docs/reference/conformance.md,
checks 86 to 95.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from projector.core.coverage import Physical
from projector.core.errors import SourceUnavailable
from projector.core.lease import Lease
from projector.core.names import Continuation, LeaseToken
from projector.core.ranges import FeedRange, uncovered

RANGE_ID_PROPERTY = "rangeId"
"""Lease property of version 1: the physical partition its bookmark was written against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The lease goes on as it is, inside this physical partition."""

    range_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """These leases take the place of the one that is deleted, lowest range first."""

    children: tuple[Lease, ...]


def home_of(lease: Lease, physical: Sequence[Physical]) -> Physical | None:
    """The partition that holds all keys of the lease; None when it must be replaced first."""
    over = _overlapping(lease, physical)
    if len(over) != 1:
        return None
    if lease.version == 0 and over[0].id != lease.token:
        return None
    return over[0]


def succeed(
    lease: Lease, physical: Sequence[Physical], *, continuation: Continuation | None
) -> Kept | Replaced:
    """Decide who reads the keys of `lease` from now on, after `continuation`.

    Raises: SourceUnavailable when no partition overlaps it: the map is not up to date yet.
    """
    over = _overlapping(lease, physical)
    home = home_of(lease, physical)
    if home is not None:
        return Kept(range_id=home.id)
    if lease.version == 0:
        children = [_child_in(lease, part, continuation) for part in over]
    else:
        children = [_child_of_keys(lease, cut, continuation) for cut in _cuts(lease, over)]
    return Replaced(children=tuple(children))


def rest_of(
    lease: Lease,
    others: Sequence[FeedRange],
    *,
    range_id: str,
    continuation: Continuation | None,
) -> tuple[Lease, ...]:
    """Child ranges for the keys of a retired lease that no other lease covers, lowest first.

    Finer leases took some of its keys (two hosts repaired the leases differently): it may not
    read again, and the rest must not stay without a reader.
    """
    marked = replace(lease, properties={**lease.properties, RANGE_ID_PROPERTY: range_id})
    return tuple(
        _child_of_keys(marked, gap, continuation) for gap in uncovered(_own(lease), others)
    )


def merged_away(lease: Lease, range_id: str) -> bool:
    """Whether the bookmark was written against another partition than the present one.

    LSNs of a merged partition have their own order, so the versions read before must lose.
    """
    return lease.version == 1 and lease.properties.get(RANGE_ID_PROPERTY) != range_id


def _overlapping(lease: Lease, physical: Sequence[Physical]) -> list[Physical]:
    own = _own(lease)
    over = [part for part in physical if part.feed_range.overlaps(own)]
    if not over:
        raise SourceUnavailable(f"no physical partition overlaps lease {lease.token} [{own})")
    return sorted(over, key=lambda part: part.feed_range)


def _own(lease: Lease) -> FeedRange:
    if lease.feed_range is None:
        raise ValueError(f"lease {lease.token} does not tell its feed range")
    return lease.feed_range


def _cuts(lease: Lease, over: Sequence[Physical]) -> list[FeedRange]:
    own = _own(lease)
    return [own.clip(part.feed_range) for part in over]


def _child_in(lease: Lease, part: Physical, continuation: Continuation | None) -> Lease:
    """A partition's lease for a child; a key range where the partition holds others' keys too."""
    if _own(lease).covers(part.feed_range):
        return _child(
            lease,
            token=LeaseToken(part.id),
            version=0,
            feed_range=part.feed_range,
            continuation=continuation,
            properties=lease.properties,
        )
    return _child_of_keys(
        replace(lease, properties={**lease.properties, RANGE_ID_PROPERTY: str(lease.token)}),
        _own(lease).clip(part.feed_range),
        continuation,
    )


def _child_of_keys(lease: Lease, own: FeedRange, continuation: Continuation | None) -> Lease:
    return _child(
        lease,
        token=LeaseToken(str(own)),
        version=1,
        feed_range=own,
        continuation=continuation,
        properties=lease.properties,
    )


def _child(
    parent: Lease,
    *,
    token: LeaseToken,
    version: int,
    feed_range: FeedRange,
    continuation: Continuation | None,
    properties: Mapping[str, str],
) -> Lease:
    return Lease(
        id=parent.id.removesuffix(parent.token) + token,
        token=token,
        version=version,
        feed_range=feed_range,
        continuation=continuation,
        properties=dict(properties),
        mode=parent.mode,
    )
