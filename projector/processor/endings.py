"""How a range comes to its end, as values that the controller acts on."""

from __future__ import annotations

from dataclasses import dataclass

from projector.core.errors import (
    FeedError,
    FencedOut,
    HandlerFailed,
    LeaseError,
    ProjectorError,
    SinkError,
)
from projector.core.lease import Lease
from projector.core.states import CloseReason


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
