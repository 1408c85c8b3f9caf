"""The target as the processor sees it: PostgreSQL behind `projector.ports.feed.Sink`.

Pages are decoded by `projector.projection`. A batch of them is applied with its position: rows, totals,
quarantine and position in one transaction, under the fence. The usual batch is one statement, which is
a transaction by itself; a bulk of new rows is copied in (see `copying`), all of it or nothing. The longer
way is taken when documents were rejected, when the range has quarantine entries that may heal, when the
server refused a value, or when most of the batch is probably stored already: the position is moved under
the epoch, which locks it; then rejections and writes follow (see `locked`); COMMIT. Nothing is applied
one by one unless it must be. A batch that the server cannot do in time is divided into portions, each a
transaction (see `portions`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
from msgspec import structs

from projector.core.errors import FencedOut, SinkTooSlow, SinkUnavailable
from projector.core.names import Continuation, Epoch, LeaseToken
from projector.core.start import Position
from projector.core.states import Removal
from projector.ports.feed import Applied, Beginning, Grant, Page, RangeClaim, RangeReport
from projector.postgres.columns import columns_of, version_columns
from projector.postgres.connections import Connections, Session
from projector.postgres.copying import copy_rows
from projector.postgres.errors import is_of_document
from projector.postgres.generation import FIRST_GENERATION, Generation
from projector.postgres.locked import LockedRange, refusal, tells_old, tombstone_of
from projector.postgres.portions import (
    BULK,
    BatchFacts,
    BatchHint,
    Hints,
    Outcome,
    Portions,
    Work,
)
from projector.postgres.ranges import begin_range, open_range
from projector.postgres.reports import store_reports
from projector.postgres.sequences import raise_sequences
from projector.postgres.statements import (
    FENCE,
    PORTION_FENCE,
    BatchShape,
    batch_statement,
    look_statement,
    one_row,
    outcome_of,
)
from projector.postgres.sweep import VerdictStore
from projector.projection.definition import Definition
from projector.projection.project import Projection, fold
from projector.projection.selection import EVERYTHING, Selection
from projector.projection.writes import Batch, ProjectedPage, RowWrite

Admission = Callable[[Sequence[ProjectedPage]], AbstractContextManager[object]]

NUMBER_IS_TAKEN = "23505"
"""A unique key: in a database that was moved without its sequences, each new number is."""


class PostgresSink:
    """Rows, totals and positions of one generation; between batches it keeps hints, which may be lost."""

    def __init__(
        self,
        connections: Connections,
        *,
        generation: Generation = FIRST_GENERATION,
        returning_old: bool | None = None,
        bulk: int = BULK,
        selection: Selection = EVERYTHING,
        admission: Admission = nullcontext,
    ) -> None:
        """Write through these connections.

        Args:
            connections: Opened and closed by the caller.
            generation: The generation to write to.
            returning_old: Force one way of telling old images; None: what the server can.
            bulk: From so many rows on a batch of new rows is copied in.
            selection: Which documents are meant.
            admission: Entered with the pages of each batch while it is written; may refuse them.
        """
        self._connections = connections
        self._projection = Projection(generation.definition, selection=selection)
        self._admission = admission
        self._generation = generation
        self._returning_old = returning_old
        self._hints = Hints(bulk=bulk)
        self._portions = Portions(seconds=connections.statement_seconds)
        self._committed: dict[int, tuple[Epoch, Continuation | None]] = {}
        self.verdicts = VerdictStore(
            connections, generation=generation, returning_old=returning_old
        )
        """What sweeps write to: `SweepStore` of `projector.ports.rows`."""

    async def open(self, claim: RangeClaim) -> Grant:
        """Fence the range: raise its epoch, retire every overlapping one, tell its position.

        Raises:
            SinkUnavailable, SourceRecreated, ProjectionChanged.
        """
        return await open_range(self._connections, claim, projection=self._projection.text)

    async def begin(self, grant: Grant, beginning: Beginning) -> Grant:
        """Commit where the range starts, with the record of its replay, before any is read.

        Raises:
            FencedOut, SinkUnavailable.
        """
        begun = await begin_range(self._connections, grant, beginning)
        self._committed.pop(begun.range_id, None)
        return begun

    def prepare(self, page: Page) -> ProjectedPage:
        """Decode a page; an empty one for a 304."""
        if page.body is None:
            return ProjectedPage()
        return self._projection.page(page.body)

    async def apply(
        self, grant: Grant, pages: Sequence[ProjectedPage], position: Position
    ) -> Applied:
        """Write the pages and their position, mostly in one transaction under the fence.

        In portions, the last one moves the position; what was committed before an outage is not sent
        again. Gives up now and then, so that whoever waits sees that this range is slow, not stalled.

        Raises:
            FencedOut: A newer epoch or lineage owns the range, or its position is not where this
                sink left it: a standby took over without the last commits.
            SinkUnavailable: The target has to be waited for.
        """
        clock = asyncio.get_running_loop().time
        batch, range_id, began = fold(pages), grant.range_id, clock()
        work = self._portions.work(range_id, grant.epoch, batch, position.continuation)
        with self._admission(pages):
            while (portion := work.next()) is not None:
                at, started = self._parameters(grant, batch, position, work), clock()
                try:
                    done = await self._at_once(grant, portion, at) if work.ends else None
                    if done is None:
                        done = await self._locked(grant, portion, at, moves=work.ends)
                except SinkUnavailable as error:
                    done = await self._after_failure(grant, work, at, error)
                if done is not None:
                    work.did(done, seconds=clock() - started)
                if (
                    work.left is not None
                    and clock() - began > self._connections.statement_seconds * 2
                ):
                    raise SinkTooSlow(
                        f"{work.left.size} of {batch.size} documents of a batch are still to be written"
                    )
        self._learn(grant, batch, work.done)
        self._committed[range_id] = grant.epoch, position.continuation
        return _applied(batch, work.done)

    async def report(self, reports: Sequence[RangeReport]) -> frozenset[LeaseToken]:
        """Store the conditions; answer the tokens whose epoch is no longer theirs.

        Raises:
            SinkUnavailable.
        """
        return await store_reports(self._connections, reports)

    async def _after_failure(
        self, grant: Grant, work: Work, at: Mapping[str, Any], error: SinkUnavailable
    ) -> Outcome | None:
        """Commit something else instead of the portion; None when it has to be divided.

        A document that is too much on its own, time after time, is the cause if the server can do
        the same without it: it goes to quarantine. If it cannot, the server is to be waited for.
        """
        if error.sqlstate == NUMBER_IS_TAKEN:
            await raise_sequences(self._connections)
        divisible = work.too_much()
        if not isinstance(error, SinkTooSlow):
            raise error
        if divisible:
            return None
        if not work.gives_up():
            raise error
        refused = _refused(work.portion, self._generation.definition, error)
        return await self._locked(grant, refused, at, moves=work.ends)

    def _learn(self, grant: Grant, batch: Batch, done: Outcome) -> None:
        facts = BatchFacts(
            writes=len(batch.writes),
            inserted=done.inserted,
            changed=done.upserted + done.removed,
            has_entries=done.has_entries,
            met_rows=done.met_rows,
        )
        self._hints.learn(grant.range_id, grant.epoch, facts)

    def _after(self, grant: Grant) -> Continuation | None:
        """The position that the next batch of the range follows."""
        epoch, continuation = self._committed.get(grant.range_id, (None, None))
        if epoch == grant.epoch:
            return continuation
        return None if grant.stored is None else grant.stored.continuation

    def _parameters(
        self, grant: Grant, batch: Batch, position: Position, work: Work
    ) -> Mapping[str, Any]:
        return {
            "range_id": grant.range_id,
            "epoch": grant.epoch,
            "lineage": grant.lineage,
            "after": self._after(grant),
            "continuation": position.continuation,
            "place_lsn": position.lsn,
            "newest_ts": batch.newest_ts,
            "delivered": batch.delivered,
            "after_tick": work.done.tick,
        }

    async def _at_once(self, grant: Grant, batch: Batch, at: Mapping[str, Any]) -> Outcome | None:
        """The usual way, in one statement or one copy; None when the longer one has to be taken."""
        hint = self._hints.of(grant.range_id, grant.epoch)
        if batch.rejections or hint.has_entries or hint.skip_stale:
            return None
        parameters, copies = {**at, "only_clean": True}, hint.insert_only and bool(batch.writes)
        if copies and (copied := await self._copied(parameters, batch.writes)) is not None:
            return copied
        async with self._connections.session() as session:
            if not batch.writes:
                _, entries = await move_position(session, parameters)
                return Outcome() if entries is False else None
            statement = batch_statement(self._shape(session))
            arguments = {**parameters, **columns_of(batch.writes, self._generation.definition)}
            try:
                row = await one_row(session, statement, arguments)
            except psycopg.Error as error:
                if not is_of_document(error):
                    raise
                return None
        return outcome_of(row, met_rows=copies)

    async def _copied(
        self, parameters: Mapping[str, Any], writes: Sequence[RowWrite]
    ) -> Outcome | None:
        """All of them as new rows; None, and nothing is written, when that is not what they are."""
        async with self._connections.session() as session:
            try:
                if not await copy_rows(session, parameters, writes, generation=self._generation):
                    return None
            except psycopg.Error as error:
                if not (isinstance(error, psycopg.errors.UniqueViolation) or is_of_document(error)):
                    raise
                return None
        live = sum(not write.deleted for write in writes)
        return Outcome(upserted=live, inserted=len(writes))

    async def _locked(
        self, grant: Grant, batch: Batch, at: Mapping[str, Any], *, moves: bool
    ) -> Outcome:
        """The longer way; most of it is skipped when it turns out that nothing is new.

        Without `moves` the position is held where it is, for a portion that others follow.
        """
        hint = self._hints.of(grant.range_id, grant.epoch) if moves else BatchHint()
        fence = FENCE if moves else PORTION_FENCE
        parameters = {**at, "only_clean": False}
        looks = hint.skip_stale and bool(batch.writes)
        writes, tick = batch.writes, 0
        async with self._connections.transaction() as session:
            if looks:
                entries, writes = await self._look(session, parameters, writes)
            else:
                tick, entries = await move_position(session, parameters, fence=fence)
            if entries is None:
                raise FencedOut(
                    f"range {grant.claim.lease_token} has a newer epoch or another position"
                )
            heal = entries or bool(batch.rejections)
            shape = self._shape(session, heal=heal, locked=True, looked=looks)
            locked = LockedRange(session=session, shape=shape, grant=grant, has_entries=entries)
            done = await locked.apply(structs.replace(batch, writes=writes))
        return replace(done, met_rows=hint.insert_only, tick=tick)

    async def _look(
        self, session: Session, parameters: Mapping[str, Any], writes: Sequence[RowWrite]
    ) -> tuple[bool | None, tuple[RowWrite, ...]]:
        """Move the position and keep only the writes that are newer than what is stored."""
        arguments = {**parameters, **version_columns(writes)}
        row = await one_row(session, look_statement(self._generation), arguments)
        if row is None:
            return None, ()
        return row[0], tuple(writes[number - 1] for number in row[1])

    def _shape(self, session: Session, **choices: bool) -> BatchShape:
        return BatchShape(
            generation=self._generation,
            returning_old=tells_old(session, forced=self._returning_old),
            **choices,
        )


def _removed_by(batch: Batch, done: Outcome) -> Removal:
    """Why the batch's rows went; which of several causes took which row, the server does not tell."""
    gone = {(write.key, write.id) for write in batch.writes if write.deleted}
    rejected = gone & {(one.key, one.id) for one in batch.rejections}
    refused = done.rejected > len(batch.rejections)
    if len(rejected) == len(gone):
        return Removal.REJECTED
    if rejected or refused or (batch.filtered and batch.least_ttl is not None):
        return Removal.MIXED
    return Removal.NOT_MEANT if batch.filtered else Removal.MARKER


def _applied(batch: Batch, done: Outcome) -> Applied:
    changed = done.upserted + done.removed + done.rejected + batch.filtered
    newest = batch.newest_ts
    return Applied(
        delivered=batch.delivered,
        upserted=done.upserted,
        removed=done.removed,
        unchanged=max(0, batch.delivered - changed),
        rejected=done.rejected,
        filtered=batch.filtered,
        removed_by=_removed_by(batch, done) if done.removed else Removal.MARKER,
        newest_time=None if newest is None else datetime.fromtimestamp(newest, UTC),
        least_ttl_seconds=batch.least_ttl,
    )


async def move_position(
    session: Session, parameters: Mapping[str, Any], *, fence: str = FENCE
) -> tuple[int, bool | None]:
    """Move the position under the fence and hold it until COMMIT; or hold it alone.

    Tells the tick, and whether the range has quarantine entries; None when the fence says no.
    """
    row = await one_row(session, fence, parameters)
    return (0, None) if row is None else (row[0], bool(row[2]))


def _refused(portion: Batch, definition: Definition, error: SinkTooSlow) -> Batch:
    """Quarantine instead of the one document of a portion."""
    (write,) = portion.writes
    rejection = refusal(write, definition, str(error), sqlstate=error.sqlstate)
    return structs.replace(portion, writes=(tombstone_of(write),), rejections=(rejection,))
