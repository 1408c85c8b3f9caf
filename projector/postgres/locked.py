"""Writes to a range whose row is locked: what is common to batches of the feed and to verdicts.

In this order, in the caller's transaction: (1) rejections are stored; (2) the batch statement runs, in
halves of halves around what the server refuses; (3) the rows whose newest version is rejected are
marked. A document that the server refuses alone goes into quarantine, and its older row goes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from projector.ports.feed import Grant
from projector.ports.rows import ReadMark
from projector.postgres import quarantine
from projector.postgres.columns import columns_of
from projector.postgres.connections import Session
from projector.postgres.errors import first_line, is_of_document
from projector.postgres.portions import Outcome
from projector.postgres.statements import (
    RETURNING_OLD_SERVER,
    BatchShape,
    batch_statement,
    one_row,
    outcome_of,
)
from projector.projection.definition import Definition
from projector.projection.project import document_of
from projector.projection.writes import Batch, Rejection, RejectionReason, RowWrite


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedRange:
    """Writes to a range whose row this transaction has locked; `has_entries` as found then.

    `mark` was noted before the reads that the writes come from; None: they come from the feed.
    """

    session: Session
    shape: BatchShape
    grant: Grant
    has_entries: bool = False
    mark: ReadMark | None = None

    async def apply(self, batch: Batch) -> Outcome:
        """Rejections, then writes, then the marks that tie both together."""
        await self._store(batch.rejections)
        done = await self._write(batch.writes)
        await self._mark(batch.rejections)
        await quarantine.close_passed(self.session, self.grant, batch.passed)
        if batch.passed or done.healed or done.rejected or batch.rejections or self.shape.verdict:
            entries = await quarantine.refresh_flag(self.session, self.grant)
        else:
            entries = self.has_entries
        return done + Outcome(rejected=len(batch.rejections), has_entries=entries)

    async def _write(self, writes: Sequence[RowWrite]) -> Outcome:
        """All of them in one statement; what the server refuses is found by halving."""
        if not writes:
            return Outcome()
        try:
            async with self.session.transaction():
                return await self._send(writes)
        except psycopg.Error as error:
            if not is_of_document(error):
                raise
            if len(writes) == 1:
                return await self._refuse(writes[0], error)
            middle = len(writes) // 2
            return await self._write(writes[:middle]) + await self._write(writes[middle:])

    async def _send(self, writes: Sequence[RowWrite]) -> Outcome:
        arguments = {**self._parameters, **columns_of(writes, self.shape.generation.definition)}
        row = await one_row(self.session, batch_statement(self.shape), arguments)
        return outcome_of(row) or Outcome()

    async def _refuse(self, write: RowWrite, error: psycopg.Error) -> Outcome:
        """Quarantine one document; its older row goes, as for every rejected newest version."""
        definition = self.shape.generation.definition
        rejection = refusal(write, definition, first_line(error), sqlstate=error.sqlstate)
        await self._store([rejection])
        done = Outcome()
        try:
            async with self.session.transaction():
                done = await self._send([tombstone_of(write)])
                await self._mark([rejection])
        except psycopg.Error as refused:  # a key that no row can have had needs no tombstone
            if not is_of_document(refused):
                raise
        return done + Outcome(rejected=1)

    @property
    def _parameters(self) -> Mapping[str, Any]:
        return {
            "range_id": self.grant.range_id,
            "lineage": self.grant.lineage,
            "mark_tick": None if self.mark is None else self.mark.tick,
        }

    async def _store(self, rejections: Sequence[Rejection]) -> None:
        if rejections:
            await quarantine.store(
                self.session,
                self.grant,
                rejections,
                generation=self.shape.generation,
                mark=self.mark,
            )

    async def _mark(self, rejections: Sequence[Rejection]) -> None:
        if rejections:
            await quarantine.mark_rows(
                self.session, self.grant, rejections, generation=self.shape.generation
            )


def tells_old(session: Session, *, forced: bool | None) -> bool:
    """Whether the server returns old images itself, unless that is forced one way."""
    return session.info.server_version >= RETURNING_OLD_SERVER if forced is None else forced


def tombstone_of(write: RowWrite) -> RowWrite:
    """What is left of a document that cannot be stored: its older row goes."""
    return RowWrite(write.key, write.id, write.epk, write.lsn, write.ts, write.etag, deleted=True)


def refusal(
    write: RowWrite, definition: Definition, detail: str, *, sqlstate: str | None
) -> Rejection:
    """A good document that the server cannot store; the bytes are those it was asked to store."""
    return Rejection(
        partition_key=json.dumps(write.key, ensure_ascii=False),
        id=write.id,
        epk=write.epk,
        lsn=write.lsn,
        ts=write.ts,
        etag=write.etag,
        reason=RejectionReason.REFUSED_BY_TARGET,
        detail=detail,
        raw=document_of(write, definition),
        sqlstate=sqlstate,
        key=write.key,
    )
