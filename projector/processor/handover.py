"""Puts the children of a lease in its place after a split or a merge.

The children begin at the last committed position and bear the properties of the one they replace.
Creating them comes before deleting it, so no key is ever without a lease; a crash in between
leaves both, and the deletion is finished by whoever acquires the old one (the target has
retired its range by then).
Source: .NET v3 change feed processor, split handling; docs/reference/conformance.md, checks 86
to 95.

How a range comes to its end, as values that the controller acts on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from projector.core.errors import (
    FeedError,
    FencedOut,
    HandlerFailed,
    LeaseError,
    ProjectorError,
    SinkError,
)
from projector.core.lease import Lease
from projector.core.names import Continuation
from projector.core.ranges import FeedRange
from projector.core.splits import Kept, Replaced, rest_of, succeed
from projector.core.states import CloseReason
from projector.ports.feed import LeaseStore
from projector.processor.events import Event
from projector.processor.neighbours import SharedSource

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
        children=[child.token for child in children],
        created=len(created),
    )
    return created


async def _others(lease: Lease, leases: LeaseStore) -> Sequence[FeedRange]:
    return [
        other.feed_range
        for other in await leases.list_leases()
        if other.token != lease.token and other.feed_range is not None
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Why a supervisor ended.

    Attributes:
        error: what it met; None for a stop and for a range that was replaced.
        children: leases that this host created in place of the one that ended.
    """

    reason: CloseReason
    error: Exception | None = None
    children: tuple[Lease, ...] = ()


class RangeClosed(Exception):
    """Ends the tasks of a range from within; carries the ending."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.reason.value)
        self.ending = ending


class Stalled(ProjectorError):
    """A range is behind and did not move for too long."""


class SourceWentBack(FeedError):
    """The service's LSNs lie below the range's position: the container was restored."""


def ending_of(errors: BaseExceptionGroup[Exception]) -> Ending:
    """The ending that a group of errors amounts to: the first one counts."""
    error = _first(errors)
    if isinstance(error, RangeClosed):
        return error.ending
    return Ending(reason=_reason(error), error=error)


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    leaf: Exception | BaseExceptionGroup[Exception] = group
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    return leaf


def _reason(error: Exception) -> CloseReason:
    match error:
        case LeaseError() | FencedOut():
            return CloseReason.LEASE_LOST
        case Stalled():
            return CloseReason.STALLED
        case HandlerFailed():
            return CloseReason.HANDLER_FAILED
        case SinkError():
            return CloseReason.SINK_FAILED
        case _:
            return CloseReason.SOURCE_FAILED
