"""What is known of the generations of a copy: which are there, who made them, how far they are. Values only.

A generation is a definition, filled: rows, totals, positions, replays and quarantine of its own. One is live:
the views read it. At most one is being made. All times are by the clock of the database; unknown is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from projector.core.ranges import FeedRange
from projector.projection.definition import Definition


class GenerationState(StrEnum):
    """Where a generation is in its life."""

    FILLING = "filling"
    """It is being loaded for the first time."""

    FOLLOWING = "following"
    """It is loaded and follows the feed; nobody reads it yet."""

    LIVE = "live"
    """The views read it."""

    FORMER = "former"
    """It was live; it is fed still, so that one may go back to it."""

    RETIRED = "retired"
    """It was live, and is no longer fed."""

    ABORTED = "aborted"
    """It was given up before it was live."""


BEING_MADE = (GenerationState.FILLING, GenerationState.FOLLOWING)
"""At most one generation is in one of these."""

FED = (*BEING_MADE, GenerationState.LIVE, GenerationState.FORMER)
"""Hosts read the feed for these."""


class FillSource(StrEnum):
    """Where the first load of a generation comes from."""

    FEED = "feed"
    """The change feed, from the beginning."""

    SCAN = "scan"
    """A parallel query of the container, after the feed's position was noted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRecord:
    """One generation, as the registry has it.

    Attributes:
        schema: of its rows and totals; `control`: of its positions, replays and quarantine.
        definition_hash: tells whether two definitions are the same.
        processor_name: under which its leases are kept.
        source: of its first load.
        who, why: made it; what for.
        filled_at: since when it follows. `live_from`, `live_until`: its last reign.
        fed_until: a former one is fed so long. `ended_at`: it was retired or aborted.
        documents, request_units: of its first load.
        verified_at, differences: of its last comparison with the container; see `VerifyReport.counts`.
        forced: who made it live although it was not proven equal; `forced_at`: when.
    """

    id: int
    schema: str
    control: str
    definition: Definition
    definition_hash: str
    processor_name: str
    state: GenerationState
    source: FillSource = FillSource.FEED
    who: str = ""
    why: str | None = None
    created_at: datetime | None = None
    filled_at: datetime | None = None
    live_from: datetime | None = None
    live_until: datetime | None = None
    fed_until: datetime | None = None
    ended_at: datetime | None = None
    documents: int | None = None
    request_units: float | None = None
    verified_at: datetime | None = None
    differences: Mapping[str, Any] | None = None
    forced: str | None = None
    forced_at: datetime | None = None

    @property
    def was_loaded(self) -> bool:
        """Whether it had a first load; hosts read the others as the settings say where to start."""
        return self.filled_at is not None and self.filled_at != self.created_at


class FillPhase(StrEnum):
    """Where a part of the first load is."""

    WAITING = "waiting"
    LOADING = "loading"
    LOADED = "loaded"
    FINISHING = "finishing"


@dataclass(frozen=True, slots=True, kw_only=True)
class FillPart:
    """One part of the first load.

    Attributes:
        expected: documents of the part, as the service said; None: it did not.
        error: why it stands still; None: it does not.
    """

    feed_range: FeedRange
    phase: FillPhase
    documents: int = 0
    expected: int | None = None
    request_units: float = 0.0
    owner: str | None = None
    error: str | None = None
