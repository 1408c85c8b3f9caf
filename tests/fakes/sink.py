"""An in-memory `Sink` that keeps positions, epochs, replays and versioned rows."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from projector.core.errors import FencedOut, SourceRecreated
from projector.core.names import Epoch, LeaseToken
from projector.core.start import Position
from projector.ports.feed import Applied, Beginning, Grant, Page, RangeClaim, RangeReport
from tests.fakes.clock import FakeClock
from tests.fakes.container import epk_of
from tests.fakes.faults import Faults

Documents = tuple[dict[str, Any], ...]
Key = tuple[str, str]


class Phase(StrEnum):
    REQUESTED = "requested"
    RUNNING = "running"


@dataclass(slots=True, kw_only=True)
class Replay:
    phase: Phase
    mark_lsn: int | None = None
    seen: set[Key] = field(default_factory=set)


@dataclass(slots=True, kw_only=True)
class Stored:
    """One stored range."""

    id: int
    claim: RangeClaim
    epoch: Epoch
    lineage: int = 0
    position: Position | None = None
    replay: Replay | None = None
    retired: bool = False
    read_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    version: tuple[int, int]
    etag: str
    live: bool = True


class FakeSink:
    """Operations to plan faults for: open, begin, apply, sweep, report (about: lease token)."""

    def __init__(
        self, clock: FakeClock, *, exists: Callable[[str, str], object | None] = lambda *_: None
    ) -> None:
        self.faults = Faults(clock)
        self._clock = clock
        self._exists = exists
        self._ids = itertools.count(1)
        self._epochs = itertools.count(1)
        self.container_rid: str | None = None
        self.ranges: list[Stored] = []
        self.rows: dict[Key, Row] = {}
        self.delivered: list[tuple[LeaseToken, str, str]] = []
        self.batches: list[tuple[LeaseToken, int, Position]] = []
        self.reports: dict[LeaseToken, RangeReport] = {}
        self.states: list[tuple[LeaseToken, str]] = []
        self.swept: list[LeaseToken] = []

    def live_rows(self) -> dict[Key, str]:
        """The etag of every live row by its key."""
        return {key: row.etag for key, row in self.rows.items() if row.live}

    def request_replay(self) -> None:
        """What a reset does in the target: epochs raised, positions cleared."""
        for stored in self._live():
            stored.epoch = Epoch(next(self._epochs))
            stored.replay = Replay(phase=Phase.REQUESTED)

    async def open(self, claim: RangeClaim) -> Grant:
        await self.faults.before("open", claim.lease_token)
        if self.container_rid not in {None, claim.container_rid}:
            raise SourceRecreated(
                expected_rid=str(self.container_rid), found_rid=claim.container_rid
            )
        self.container_rid = claim.container_rid
        if claim.probe:
            return Grant(claim=claim, epoch=Epoch(0))
        stored = self._same(claim)
        if stored is not None and stored.retired:
            return _grant(stored, claim)
        over = [s for s in self._live() if s.claim.feed_range.overlaps(claim.feed_range)]
        if stored is None:
            stored = self._take_over(claim, over)
            self.ranges.append(stored)
        for other in over:
            if other is not stored:
                other.retired = True
        stored.claim = claim
        stored.epoch = Epoch(next(self._epochs))
        await self.faults.after("open", claim.lease_token)
        return _grant(stored, claim)

    async def begin(self, grant: Grant, beginning: Beginning) -> Grant:
        await self.faults.before("begin", grant.claim.lease_token)
        stored = self._fenced(grant)
        before, stored.position = stored.position, beginning.position
        stored.lineage += beginning.raise_lineage
        if beginning.replay_mark_lsn is not None:
            stored.replay = Replay(phase=Phase.RUNNING, mark_lsn=beginning.replay_mark_lsn)
            stored.read_since = None
        elif beginning.anchored_from is not None:
            stored.replay = None
            since = (
                self._clock.now()
                if beginning.anchored_from == "now"
                else datetime.fromisoformat(beginning.anchored_from)
            )
            if not _had_read_as_far(before, beginning):
                stored.read_since = since
            elif stored.read_since is not None:
                stored.read_since = min(stored.read_since, since)
        await self.faults.after("begin", grant.claim.lease_token)
        return _grant(stored, grant.claim)

    def prepare(self, page: Page) -> Documents:
        return tuple(json.loads(page.body)["Documents"]) if page.body else ()

    async def apply(self, grant: Grant, pages: Sequence[Documents], position: Position) -> Applied:
        token = grant.claim.lease_token
        await self.faults.before("apply", token)
        stored = self._fenced(grant)
        documents = [document for page in pages for document in page]
        written = [self._write(stored, document) for document in documents]
        stored.position = position
        self.delivered += [(token, d["cartId"], d["_etag"]) for d in documents]
        self.batches.append((token, len(documents), position))
        await self.faults.after("apply", token)
        newest = max((d["_ts"] for d in documents), default=None)
        return Applied(
            delivered=len(documents),
            upserted=sum(written),
            unchanged=len(documents) - sum(written),
            newest_time=None if newest is None else datetime.fromtimestamp(newest, UTC),
        )

    async def sweep(self, grant: Grant, *, session_token: str | None) -> None:
        await self.faults.before("sweep", grant.claim.lease_token)
        stored = self._fenced(grant)
        seen = stored.replay.seen if stored.replay else set()
        mark = stored.replay.mark_lsn if stored.replay else None
        if mark is not None and (stored.position is None or (stored.position.lsn or 0) < mark):
            raise AssertionError("swept before the place had passed the mark")
        keys = grant.claim.feed_range
        for key, row in list(self.rows.items()):
            if keys.contains(epk_of(key[0])) and key not in seen and not self._exists(*key):
                self.rows[key] = Row(version=row.version, etag=row.etag, live=False)
        stored.replay = None
        self.swept.append(grant.claim.lease_token)

    async def report(self, reports: Sequence[RangeReport]) -> frozenset[LeaseToken]:
        await self.faults.before("report")
        lost = set()
        for report in reports:
            self.reports[report.lease_token] = report
            self.states.append((report.lease_token, report.state.value))
            stored = next((s for s in self.ranges if s.id == report.range_id), None)
            if report.range_id and (stored is None or _lost(stored, report)):
                lost.add(report.lease_token)
        return frozenset(lost)

    def stored(self, token: str) -> Stored:
        """The stored range of a lease token, newest first."""
        return next(s for s in reversed(self.ranges) if s.claim.lease_token == token)

    def _live(self) -> list[Stored]:
        return [stored for stored in self.ranges if not stored.retired]

    def _same(self, claim: RangeClaim) -> Stored | None:
        for stored in self.ranges:
            known = stored.claim
            if (known.container_rid, known.feed_range, known.lease_token) == (
                claim.container_rid,
                claim.feed_range,
                claim.lease_token,
            ):
                return stored
        return None

    def _take_over(self, claim: RangeClaim, over: Sequence[Stored]) -> Stored:
        fresh = Stored(id=next(self._ids), claim=claim, epoch=Epoch(0))
        known = [s for s in self.ranges if s.claim.container_rid == claim.container_rid]
        covering = [s for s in known if s.claim.feed_range.covers(claim.feed_range)]
        if covering:
            holder = min(covering, key=lambda s: (s.claim.feed_range.max, -s.epoch))
            fresh.position, fresh.lineage = holder.position, holder.lineage
            fresh.read_since = holder.read_since
            if holder.replay is not None:
                replay = holder.replay
                fresh.replay = Replay(
                    phase=replay.phase, mark_lsn=replay.mark_lsn, seen=replay.seen
                )
        elif over:
            fresh.lineage = 1 + max(s.lineage for s in over)
        return fresh

    def _fenced(self, grant: Grant) -> Stored:
        stored = next(s for s in self.ranges if s.id == grant.range_id)
        if stored.epoch != grant.epoch or stored.retired:
            raise FencedOut(f"range {grant.claim.lease_token} has a newer epoch")
        return stored

    def _write(self, stored: Stored, document: dict[str, Any]) -> bool:
        key = (document["cartId"], document["id"])
        if stored.replay is not None:
            stored.replay.seen.add(key)
        version = (stored.lineage, document["_lsn"])
        known = self.rows.get(key)
        if known is not None and known.version >= version:
            return False
        row = Row(version=version, etag=document["_etag"], live="ttl" not in document)
        changed = known is None or (known.etag, known.live) != (row.etag, row.live)
        self.rows[key] = row
        return changed


def _lost(stored: Stored, report: RangeReport) -> bool:
    reached = None if stored.position is None else stored.position.lsn
    behind = report.committed_lsn is not None and (
        reached is None or reached < report.committed_lsn
    )
    reopened = report.replay_open is False and (
        stored.replay is not None and stored.replay.phase is Phase.RUNNING
    )
    return stored.epoch != report.epoch or behind or reopened


def _had_read_as_far(before: Position | None, beginning: Beginning) -> bool:
    """Whether nothing is passed over by this start."""
    return (
        not beginning.raise_lineage
        and before is not None
        and before.lsn is not None
        and beginning.position.lsn is not None
        and before.lsn >= beginning.position.lsn
    )


def _grant(stored: Stored, claim: RangeClaim) -> Grant:
    replay = stored.replay
    return Grant(
        claim=claim,
        epoch=stored.epoch,
        range_id=stored.id,
        lineage=stored.lineage,
        stored=stored.position,
        retired=stored.retired,
        replay_requested=replay is not None and replay.phase is Phase.REQUESTED,
        replay_open=replay is not None and replay.phase is Phase.RUNNING,
        replay_mark_lsn=None if replay is None else replay.mark_lsn,
        read_since=stored.read_since,
    )
