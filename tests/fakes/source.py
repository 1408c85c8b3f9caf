"""A `ChangeSource` over a `FakeContainer`."""

from __future__ import annotations

import json
from collections.abc import Sequence

from projector.core.errors import ContinuationRefused, FeedRangeGone, SourceRecreated
from projector.core.names import Continuation
from projector.core.start import Position, StartFrom, StartKind
from projector.ports.feed import FeedTarget, Page, PhysicalRange
from tests.fakes.clock import FakeClock
from tests.fakes.container import Entry, FakeContainer, Partition
from tests.fakes.faults import Faults


class FakeChangeSource:
    """Operations to plan faults for: rid, ranges, read, resolve, rebuild (about: lease token)."""

    def __init__(self, container: FakeContainer, clock: FakeClock) -> None:
        self._container = container
        self._expected_rid = container.rid
        self.faults = Faults(clock)
        self.rebuilds = 0
        self.reads: list[tuple[str, Continuation | None, int]] = []

    async def container_rid(self) -> str:
        await self.faults.before("rid")
        return self._container.rid

    async def physical_ranges(self) -> Sequence[PhysicalRange]:
        await self.faults.before("ranges")
        return [partition.physical for partition in self._container.partitions]

    async def read_page(
        self, target: FeedTarget, continuation: Continuation | None, *, max_documents: int
    ) -> Page:
        self.reads.append((target.lease_token, continuation, max_documents))
        await self.faults.before("read", target.lease_token)
        partition = self._partition(target)
        after = 0 if continuation is None else self._number(continuation)
        unread = _unread(partition, target, after)
        page = _cut(unread, max_documents)
        if not page:
            return _page(partition, None, max(partition.lsn, 0), 0)
        documents = [entry.document for entry in page]
        body = json.dumps({"_rid": self._container.rid, "Documents": documents}).encode()
        return _page(partition, body, page[-1].lsn, len(page))

    async def resolve(self, target: FeedTarget, start: StartFrom) -> Position:
        await self.faults.before("resolve", target.lease_token)
        partition = self._partition(target)
        lsn = partition.lsn
        if start.kind is StartKind.BEGINNING:
            raise ValueError("the beginning is no place")
        if start.time is not None:
            since = start.time.timestamp()
            later = [e.lsn for e in partition.entries.values() if e.document["_ts"] >= since]
            lsn = min(later) - 1 if later else lsn
        return Position(continuation=_quoted(lsn), lsn=lsn)

    async def rebuild(self) -> None:
        await self.faults.before("rebuild")
        self.rebuilds += 1

    def lsn_of(self, continuation: Continuation) -> int | None:
        text = continuation.strip('"')
        return int(text) if text.isdigit() else None

    def _number(self, continuation: Continuation) -> int:
        lsn = self.lsn_of(continuation)
        if lsn is None:
            raise ContinuationRefused(f"malformed continuation {continuation}")
        return lsn

    def _partition(self, target: FeedTarget) -> Partition:
        if self._container.rid != self._expected_rid:
            raise SourceRecreated(expected_rid=self._expected_rid, found_rid=self._container.rid)
        partition = self._container.partition(target.range_id)
        if partition is None or not partition.feed_range.covers(target.feed_range):
            raise FeedRangeGone(f"range {target.range_id} is gone")
        return partition


def _unread(partition: Partition, target: FeedTarget, after: int) -> list[Entry]:
    return sorted(
        (
            entry
            for entry in partition.entries.values()
            if entry.lsn > after and target.feed_range.contains(entry.epk)
        ),
        key=lambda entry: entry.lsn,
    )


def _cut(unread: list[Entry], count: int) -> list[Entry]:
    """At least one document, and all of one LSN together."""
    page = unread[:count]
    for entry in unread[count:]:
        if entry.lsn != page[-1].lsn:
            break
        page.append(entry)
    return page


def _page(partition: Partition, body: bytes | None, lsn: int, count: int) -> Page:
    return Page(
        body=body,
        continuation=_quoted(lsn),
        lsn=lsn,
        session_lsn=partition.lsn,
        session_token=f"{partition.id}:-1#{partition.lsn}",
        size_bytes=len(body or b""),
        document_count=count,
        request_units=2.0,
    )


def _quoted(lsn: int) -> Continuation:
    return Continuation(f'"{lsn}"')
