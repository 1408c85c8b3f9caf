"""The way of one batch through a host, moment by moment, for whoever wants to draw it.

Moments are monotonic seconds of the host's clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, final

from projector.core.names import LeaseToken
from projector.ports.feed import Applied

Phase: TypeAlias = tuple[float, float]
"""When it began, and when it ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageTrace:
    """One page: asked for and answered, then made ready."""

    read: Phase
    prepare: Phase
    documents: int | None
    size_bytes: int
    request_units: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchTrace:
    """One committed batch; `bookmark` None: its position was not bookmarked, or only with a later one."""

    pages: Sequence[PageTrace]
    apply: Phase
    applied: Applied = field(default_factory=Applied)
    bookmark: Phase | None = None


class Tracer(Protocol):
    """Told of each batch when its way has ended; its exceptions are logged and never stop processing."""

    def traced(self, token: LeaseToken, trace: BatchTrace) -> None:
        """A batch was committed, and mostly bookmarked."""


@final
class Untraced:
    """Nobody wants to know."""

    def traced(self, token: LeaseToken, trace: BatchTrace) -> None:
        """Do nothing."""


UNTRACED = Untraced()
