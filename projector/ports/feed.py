"""What the change feed processor needs from the world; nothing here knows rows.

Implemented by `projector.cosmos` (source, leases), `projector.postgres` and
`projector.changefeed` (sinks) and the fakes in `tests/fakes`, all under one contract suite.
Adapters raise only errors of `projector.core.errors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from projector.core.lease import Lease
from projector.core.names import Continuation, Epoch, InstanceName, LeaseToken
from projector.core.ranges import FeedRange
from projector.core.start import Position, StartFrom
from projector.core.states import CloseReason, RangeFailure, RangeState, Removal

P = TypeVar("P")


class Clock(Protocol):
    """Time for loops: wall clock for records, monotonic seconds for waiting."""

    def now(self) -> datetime:
        """The time of day, aware, UTC."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhysicalRange:
    """One physical partition; `parents` are all ids it came from by splits and merges."""

    id: str
    feed_range: FeedRange
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedTarget:
    """What to read: a feed range that lies in the physical partition `range_id`.

    The source refuses (`FeedRangeGone`) when the service would answer for anything else.
    """

    lease_token: LeaseToken
    feed_range: FeedRange
    range_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One answer of the feed.

    Attributes:
        body: the JSON of a 200 answer as sent (`{"_rid", "Documents": [...]}`), None on 304.
        continuation: the position after this page.
        lsn: that position as a number, None when unknown.
        session_lsn: the partition's newest LSN when it answered, None when not told.
        session_token: the partition's session token, to be sent with point reads.
        size_bytes: bytes of the body; 0 on 304.
        document_count: as told by the service, None when not told.
        request_units: what the read cost.
    """

    body: bytes | None
    continuation: Continuation
    lsn: int | None
    session_lsn: int | None
    session_token: str | None = None
    size_bytes: int = 0
    document_count: int | None = None
    request_units: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """One answered request.

    Attributes:
        container: about which it was, by name; "" for one about the account.
        operation: `feed`, `read` (of one document), `query`, `write` or `metadata`.
        request_units: what it cost.
        throttled: it was refused because others had used up what there is.
    """

    container: str
    operation: str
    request_units: float
    throttled: bool


class ChangeSource(Protocol):
    """The monitored container."""

    async def container_rid(self) -> str:
        """The container's `_rid` as the service has it now, read afresh."""

    async def physical_ranges(self) -> Sequence[PhysicalRange]:
        """The live physical partitions, lowest first, read afresh."""

    async def read_page(
        self, target: FeedTarget, continuation: Continuation | None, *, max_documents: int
    ) -> Page:
        """Read one page after `continuation` (None: from the start of the feed).

        Raises: FeedRangeGone, SourceRecreated, SourceMissing, SourceUnavailable, Throttled,
            PageTooLarge, ContinuationRefused, CredentialExpired.
        """

    async def resolve(self, target: FeedTarget, start: StartFrom) -> Position:
        """Turn `now` or a time into the position after which reading has to begin."""

    async def rebuild(self) -> None:
        """Throw the client away and make a new one (aged credentials, hung connections)."""

    def lsn_of(self, continuation: Continuation) -> int | None:
        """The continuation as a number, None for a form that cannot be placed."""


class LeaseStore(Protocol):
    """The lease documents of one processor in one lease container."""

    async def list_leases(self) -> Sequence[Lease]:
        """All leases of this processor, unreadable ones included; never the marker or the lock."""

    async def create(self, lease: Lease) -> bool:
        """Write a new lease; False when one of that token exists already."""

    async def read(self, token: LeaseToken) -> Lease:
        """The lease as stored now, perhaps `unreadable`. Raises LeaseMissing."""

    async def replace(self, lease: Lease) -> Lease:
        """Write under the lease's etag and return it with the new one.

        Raises: LeaseConflict when the stored etag differs, LeaseMissing, LeaseStoreUnavailable.
        """

    async def delete(self, lease: Lease) -> None:
        """Remove the lease, whatever its etag; a missing one is fine."""


class BootstrapMarkers(Protocol):
    """The `.info` marker and the `.lock` of one processor's lease prefix."""

    async def is_initialized(self) -> bool:
        """Whether `.info` exists."""

    async def mark_initialized(self) -> None:
        """Write `.info`; one that exists already is fine."""

    async def acquire_lock(self, *, seconds: int) -> bool:
        """Create `.lock` with that TTL; False when somebody holds it (and it is not overdue)."""

    async def release_lock(self) -> None:
        """Remove the `.lock` this process created; a missing one is fine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerOwner:
    """Whose lease was taken; `expired` unless it was taken for a fair share."""

    name: InstanceName
    expired: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeClaim:
    """Who wants which range of which container.

    `probe` only asks whether the target copies that container: nothing is fenced or granted.
    `taken_from` is whoever had the lease and did not give it back.
    """

    container_rid: str
    processor_name: str
    lease_token: LeaseToken
    feed_range: FeedRange
    owner: InstanceName
    taken_from: FormerOwner | None = None
    probe: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The right to write a range, until a newer epoch is given for any overlapping range.

    Attributes:
        range_id: the target's own id of the stored range.
        stored: the committed position that covers the range; None when the target has none.
        retired: the range was split or merged away; it may only finish its split.
        replay_requested: a replay was asked for and has not begun.
        replay_mark_lsn: LSN to pass before the open replay may end; None without a replay.
        replay_open: a replay has begun and its sweep has not ended.
        read_since: documents last changed before it were never asked for; None: all were.
        keeps_positions: False for targets (plain handlers) that store no positions.
    """

    claim: RangeClaim
    epoch: Epoch
    range_id: int = 0
    lineage: int = 0
    stored: Position | None = None
    retired: bool = False
    replay_requested: bool = False
    replay_open: bool = False
    replay_mark_lsn: int | None = None
    read_since: datetime | None = None
    keeps_positions: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """How a granted range starts.

    Attributes:
        position: where reading begins; continuation None is the start of the feed.
        replay_mark_lsn: set when this start is a replay: the source's end as it stands now.
        anchored_from: START_FROM text when the position was resolved from `now` or a time.
        raise_lineage: the service's LSNs went back or were merged: older versions lose to any new one.
    """

    position: Position
    replay_mark_lsn: int | None = None
    anchored_from: str | None = None
    raise_lineage: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What one committed batch did, in documents; `filtered` are those that are not meant.

    `removed_by` is why rows went. `least_ttl_seconds` is the shortest life that a marker among them
    left its document; None without one.
    """

    delivered: int = 0
    upserted: int = 0
    removed: int = 0
    unchanged: int = 0
    rejected: int = 0
    filtered: int = 0
    removed_by: Removal = Removal.MARKER
    newest_time: datetime | None = None
    least_ttl_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadThrough:
    """Every change of the range up to `lsn` of that physical partition is committed.

    LSNs are counted by each partition for itself; `keys` are all of the partition's, of which the range
    may hold a part only.
    """

    partition_id: str
    keys: FeedRange
    lsn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeReport:
    """One range's condition, as `status` shows it.

    `last_poll_at` is the end of the last answered read; `gap_changes` and `lag_seconds` are
    None while unknown. `committed_lsn` is the position that the owner knows to be committed,
    `replay_open` whether its replay is; both are None until the range is read. `told_at` is the
    owner's time of telling: it says how far the owner's clock is from the target's. `read_through`
    is None until something of the present partition is known to be committed.
    """

    lease_token: LeaseToken
    feed_range: FeedRange
    owner: InstanceName
    state: RangeState
    state_since: datetime
    epoch: Epoch
    range_id: int = 0
    last_poll_at: datetime | None = None
    gap_changes: int | None = None
    lag_seconds: float | None = None
    session_lsn: int | None = None
    committed_lsn: int | None = None
    replay_open: bool | None = None
    caught_up_at: datetime | None = None
    failure: RangeFailure | None = None
    told_at: datetime | None = None
    read_through: ReadThrough | None = None


class Sink(Protocol[P]):
    """Where changes go; P is one page made ready by `prepare`."""

    async def open(self, claim: RangeClaim) -> Grant:
        """Fence the range: raise its epoch, retire every overlapping one, tell its position.

        Raises: SinkUnavailable, SourceRecreated (the target copies another container).
        """

    async def begin(self, grant: Grant, beginning: Beginning) -> Grant:
        """Commit where the range starts, with the record of its replay, before any is read.

        Raises: FencedOut, SinkUnavailable.
        """

    def prepare(self, page: Page) -> P:
        """Decode a page; pure computation, never raises on bad documents.

        Raises: SourceUnavailable when the page is cut off, so that it has to be read again.
        """

    async def apply(self, grant: Grant, pages: Sequence[P], position: Position) -> Applied:
        """Write the pages (oldest first) and their position in one transaction under the fence.

        `pages` may be empty: a 304 moves the position alone. Idempotent.

        Raises: FencedOut, SinkUnavailable, HandlerFailed (user code only).
        """

    async def report(self, reports: Sequence[RangeReport]) -> frozenset[LeaseToken]:
        """Store the conditions; answer the tokens that the reporter has lost.

        Their epoch is no longer theirs, or the target's position lies before what they committed, or
        a replay is open that they ended: the target failed over without the last commits.
        """


class Sweeper(Protocol):
    """Ends replays: what one did not see is confirmed in the container, and goes if it is gone."""

    async def sweep(self, grant: Grant, *, session_token: str | None) -> object:
        """Sweep a granted range that has passed its replay's mark, then close the replay.

        Runs beside `Sink.apply`. `session_token` is that of the range's last page: nothing that
        is read may be older.

        Raises: FencedOut, SinkUnavailable, SourceUnavailable, Throttled, SourceRecreated.
        """


class Observer(Protocol):
    """Told what happens; its exceptions are logged and never stop processing."""

    async def acquired(self, token: LeaseToken) -> None:
        """The lease is owned, the range about to be read."""

    async def released(self, token: LeaseToken, reason: CloseReason) -> None:
        """The range is no longer read by this host."""

    async def failed(self, token: LeaseToken, error: Exception) -> None:
        """A range ended, or waits, because of this error."""

    def polled(self, token: LeaseToken, page: Page) -> None:
        """A read was answered."""

    def applied(self, token: LeaseToken, applied: Applied, *, seconds: float) -> None:
        """A batch was committed within that many seconds."""

    def observed(self, report: RangeReport) -> None:
        """The condition of a range, on every reporting cycle."""
