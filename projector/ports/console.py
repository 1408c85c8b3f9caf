"""What the console shows: one picture of everything, made elsewhere; it judges nothing by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from projector.core.health import Diagnosis
from projector.core.names import InstanceName, LeaseToken
from projector.core.ranges import FeedRange
from projector.core.states import RangeFailure
from projector.ports.copy import HousekeepingRun
from projector.ports.generations import FillPart, GenerationRecord
from projector.ports.quarantine import QuarantinedDocument, QuarantineEntry
from projector.ports.timeline import TimelineEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewCount:
    """How many rows a view has; `estimated` by the server's statistics, None where unknown."""

    view: str
    rows: int | None
    estimated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenReplay:
    """A range that is being read again; `lsn` has to reach `mark_lsn` before its sweep."""

    lease_token: LeaseToken
    feed_range: FeedRange
    phase: str
    requested_at: datetime
    mark_lsn: int | None = None
    lsn: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One minute of all hosts; `lag_seconds` is the greatest told, `unknown` that somebody had none to tell."""

    minute: datetime
    documents: int
    lag_seconds: float | None
    unknown: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSide:
    """What PostgreSQL tells the console beside health; of entries the first of perhaps many.

    `generations` are those beside the live one that hosts feed, `fill_parts` of the one being filled.
    """

    read_at: datetime
    counts: Sequence[ViewCount] = ()
    entries: Sequence[QuarantineEntry] = ()
    has_all_entries: bool = True
    replays: Sequence[OpenReplay] = ()
    runs: Sequence[HousekeepingRun] = ()
    samples: Sequence[Sample] = ()
    timeline: Sequence[TimelineEntry] = ()
    generations: Sequence[GenerationRecord] = ()
    fill_parts: Sequence[FillPart] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One look of the console.

    Attributes:
        now: the time of the look, by the clock of the database where it is known.
        diagnosis: the verdict that `projector health` and `/readyz` tell.
        look_age_seconds: how old what it is built on is.
        errors: the last error of each range that has one.
        quarantined, verified_seconds, drift_found: None while unknown, or never.
        stored: what PostgreSQL told last; None before it told anything.
        silent: why it does not tell now; None while it does.
    """

    now: datetime
    instance: InstanceName
    version: str
    copied: str
    diagnosis: Diagnosis
    look_age_seconds: float
    errors: Mapping[LeaseToken, RangeFailure] = field(default_factory=dict)
    quarantined: int | None = None
    verified_seconds: float | None = None
    drift_found: int | None = None
    stored: StoredSide | None = None
    silent: str | None = None


class ConsoleView(Protocol):
    """Where the console's pages come from."""

    async def board(self) -> Board:
        """The picture as of now; always answers soon, whatever does not answer itself."""

    async def document(self, entry_id: int) -> QuarantinedDocument | None:
        """A quarantined document; None when there is none of that id. Raises ProjectorError."""
