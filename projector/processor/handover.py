"""Puts the children of a lease in its place after a split or a merge.

The children begin at the last committed position and bear the properties of the one they replace.
Creating them comes before deleting it, so no key is ever without a lease; a crash in between
leaves both, and the deletion is finished by whoever acquires the old one (the target has
retired its range by then).
Source: .NET v3 change feed processor, split handling; docs/reference/conformance.md, checks 86
to 95.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from projector.core.lease import Lease
from projector.core.names import Continuation
from projector.core.ranges import FeedRange
from projector.core.splits import Kept, Replaced, rest_of, succeed
from projector.ports.feed import LeaseStore
from projector.processor.events import Event
from projector.processor.shared_source import SharedSource

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


async def hand_over(
    lease: Lease,
    continuation: Continuation | None,
    *,
    retired: bool,
    source: SharedSource,
    leases: LeaseStore,
) -> Sequence[Lease] | None:
    """Replace the lease by its children, starting after `continuation`.

    1. Ask for the partitions as they are now. 2. Create the children. 3. Delete the lease.

    Returns: the children this call created (those of other hosts are left to them); None when
        the lease stays as it is.

    Raises: SourceUnavailable, LeaseStoreUnavailable: call again.
    """
    physical = await source.physical_ranges()
    children: tuple[Lease, ...] = ()
    match succeed(lease, physical, continuation=continuation):
        case Replaced() as replaced:
            children = replaced.children
        case Kept(range_id=range_id) if retired:
            children = rest_of(
                lease,
                await _others(lease, leases),
                range_id=range_id,
                continuation=continuation,
            )
        case Kept():
            return None
    created = [child for child in children if await leases.create(child)]
    await leases.delete(lease)
    log.info(
        Event.RANGE_REPLACED,
        lease=lease.token,
        heirs=[child.token for child in children],
        created=len(created),
    )
    return created


async def _others(lease: Lease, leases: LeaseStore) -> Sequence[FeedRange]:
    return [
        other.feed_range
        for other in await leases.list_leases()
        if other.token != lease.token and other.feed_range is not None
    ]
