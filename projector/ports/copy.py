"""What the target says of the copy: which source, which ranges, what hosts said, what jobs found.

Values that `postgres` reads and that operations judge. All times are by the clock of the database:
`now` is its time of the look, and reports were moved to it when they were stored. So ages are right
whatever the clock of this machine says. Unknown is None, never zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from typing_extensions import override

from projector.core.errors import OtherSource, ProjectionChanged, SourceRecreated
from projector.core.names import LeaseToken, SourceIdentity, SourceName
from projector.core.ranges import FeedRange
from projector.ports.feed import RangeReport
from projector.ports.ranges import StoredRange

VERIFICATION = "verify"
"""Name of the housekeeping job that compares container and copy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetIdentity:
    """A database; as text its id, then what a person calls it."""

    id: str
    name: str

    @override
    def __str__(self) -> str:
        return f"{self.id} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CopiedSource:
    """What the target remembers; `name` and `projection` are None where no program has told them."""

    rid: str
    name: SourceName | None = None
    projection: str | None = None

    def refuse_other(self, rid: str, identity: SourceIdentity) -> None:
        """Raise unless this is that container.

        Raises:
            OtherSource: Another one is meant.
            SourceRecreated: The same names stand for another one by now.
        """
        if rid == self.rid:
            return
        if self.name is not None and self.name != identity.name:
            raise OtherSource(copied=self.name, configured=identity.name)
        raise SourceRecreated(expected_rid=self.rid, found_rid=rid, copied=self.name)

    def refuse_other_projection(self, identity: SourceIdentity) -> None:
        """Raise ProjectionChanged if it is known that the rows were made otherwise."""
        if self.projection is not None and self.projection != identity.projection:
            raise ProjectionChanged(stored=self.projection, configured=identity.projection)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSnapshot:
    """Bookmarks that the target keeps under a name; `ranges` says how many."""

    name: str
    taken_at: datetime
    container_rid: str
    ranges: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredReport:
    """A host's report and when it came in, by the clock of the database.

    `complete_at`: when the range's rows were last known to be complete, whoever said so.
    """

    report: RangeReport
    reported_at: datetime
    complete_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HousekeepingRun:
    """When a job succeeded last, with what result, and why it failed, or was put off, since."""

    job: str
    last_success_at: datetime | None
    last_error: str | None
    result: Mapping[str, Any] | None
    postponed: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRelease:
    """When another host last gave up a range that nobody took since (None: never), and how many hosts there are."""

    released_at: datetime | None
    hosts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocker:
    """A session of the server that holds a lock for which sessions of ours wait.

    Attributes:
        pid: its process; 0 for a prepared transaction, which has none.
        role, application: who it is; "" where the server tells no name.
        waiting: how many sessions of ours wait for it.
        waited_seconds: how long the first of them has waited by now.
    """

    pid: int
    role: str
    application: str
    waiting: int
    waited_seconds: float


@dataclass(frozen=True, kw_only=True)
class CopyFacts:
    """One look at all of it.

    Attributes:
        now, counted_at: time of the look, and of the counts.
        verified_at: end of the last verification that was carried through; None: never.
        drift_found: what it found and did not mend, rows and totals; None: never.
    """

    now: datetime
    counted_at: datetime
    quarantined: int
    positions: Sequence[StoredRange] = ()
    reports: Mapping[LeaseToken, StoredReport] = field(default_factory=dict)
    verified_at: datetime | None = None
    drift_found: int | None = None

    @cached_property
    def by_range(self) -> Mapping[tuple[LeaseToken, FeedRange | None], StoredRange]:
        """The positions by lease token and keys: there may be a thousand of them."""
        return {(one.lease_token, one.feed_range): one for one in self.positions}
