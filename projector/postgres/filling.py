"""Parts of the first load of a generation: who holds which, how far it is, and the rows by COPY.

Plain rows, without keys: no look-up, no trigger, no totals. One transaction per page: (1) the part's row is
updated under its epoch, which holds it until COMMIT; (2) rejected documents go to quarantine; (3) the rows are
copied; COMMIT. A commit that was not confirmed is told by the count of batches.

A document comes once, since a part is read up to where the source stood when it began (or scanned after that
was noted), and since a part that is begun anew raises its lineage: what it brought before goes when the
rows get their key. Tombstones are not loaded: there is no row that they could remove, and every version that
hosts read later lies above the part's anchor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import psycopg
from psycopg.rows import dict_row

from projector.core.errors import FencedOut, RebuildError
from projector.core.lease import Lease
from projector.core.names import InstanceName
from projector.core.start import Position
from projector.ports.filling import Load, Part
from projector.postgres import quarantine
from projector.postgres.blockers import end_frozen_copies
from projector.postgres.connections import Connections, Session
from projector.postgres.copying import copy_statement, copy_text, pieces
from projector.postgres.errors import first_line, is_of_document
from projector.postgres.fill_parts import cut_parts, keys_of, named, part_of
from projector.postgres.generation import Generation
from projector.postgres.locked import refusal
from projector.postgres.ranges import bounds
from projector.postgres.sequences import with_epochs
from projector.projection.writes import Rejection, RowWrite

HOLD_SECONDS = 20.0
"""How long a part stays with a process that says nothing."""

# Whoever cuts the container waits for whoever does so at this moment, and finds the parts then.
LOCK = "LOCK TABLE fill_parts IN SHARE ROW EXCLUSIVE MODE"

# A part that was cut before anybody had seen the container is of the one that is seen first.
SEEN = "UPDATE fill_parts SET container_rid = %(rid)s WHERE container_rid IS NULL"
CONTAINERS = "SELECT DISTINCT container_rid FROM fill_parts"

# Epochs are told apart by chance, too: a database that failed over without its last commits gives out the
# same numbers again.
CLAIM = with_epochs("""
UPDATE fill_parts SET phase = 'loading', epoch = {next_epoch}, owner = %(owner)s, error = NULL,
  held_until = now() + make_interval(secs => %(hold)s), began_at = COALESCE(began_at, now())
WHERE id = (
  SELECT id FROM fill_parts
  WHERE phase <> 'loaded' AND (held_until IS NULL OR held_until < now())
  ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING *""")

LEFT = """
SELECT count(*), COALESCE(bool_or(held_until < now()), false) FROM fill_parts
WHERE phase <> 'loaded'"""

WROTE = """
UPDATE fill_parts SET place = %(place)s, batches = batches + 1,
  documents = documents + %(documents)s, request_units = request_units + %(request_units)s,
  newest_ts = GREATEST(newest_ts, %(newest_ts)s), error = NULL,
  phase = CASE WHEN %(last)s THEN 'loaded' ELSE phase END,
  loaded_at = CASE WHEN %(last)s THEN now() END, owner = CASE WHEN NOT %(last)s THEN owner END,
  held_until = CASE WHEN NOT %(last)s THEN now() + make_interval(secs => %(hold)s) END
WHERE id = %(id)s AND epoch = %(epoch)s AND batches = %(batches)s AND phase = 'loading'
RETURNING 1"""

WRITTEN = """
SELECT 1 FROM fill_parts WHERE id = %(id)s AND epoch = %(epoch)s AND batches = %(batches)s + 1
  AND place IS NOT DISTINCT FROM %(place)s"""

ANCHOR = """
UPDATE fill_parts SET anchor = %(anchor)s, anchor_lsn = %(lsn)s,
  held_until = now() + make_interval(secs => %(hold)s)
WHERE id = %(id)s AND epoch = %(epoch)s RETURNING *"""

BEGIN_ANEW = """
UPDATE fill_parts SET lineage = lineage + 1, anchor = NULL, anchor_lsn = NULL, place = NULL,
  since = NULL, documents = 0, newest_ts = NULL, range_id = COALESCE(%(range_id)s, range_id),
  held_until = now() + make_interval(secs => %(hold)s)
WHERE id = %(id)s AND epoch = %(epoch)s RETURNING *"""

REMOVE = "DELETE FROM fill_parts WHERE id = %(id)s AND epoch = %(epoch)s RETURNING *"

# The first child takes over what was counted.
CHILD = """
INSERT INTO fill_parts (container_rid, lease_token, version, range_id, min_epk, max_epk, lineage, anchor, anchor_lsn,
  place, since, documents, expected, newest_ts, request_units)
VALUES (%(container_rid)s, %(token)s, %(version)s, %(range_id)s, %(min)s, %(max)s, %(lineage)s, %(anchor)s,
  %(anchor_lsn)s, %(place)s, %(since)s, %(documents)s, %(expected)s, %(newest_ts)s, %(request_units)s)"""

HOLD = """
UPDATE fill_parts SET error = %(error)s, held_until = now() + make_interval(secs => %(hold)s)
WHERE id = %(id)s AND epoch = %(epoch)s RETURNING 1"""

RELEASE = """
UPDATE fill_parts SET error = %(error)s, held_until = NULL, owner = NULL
WHERE id = %(id)s AND epoch = %(epoch)s AND phase = 'loading'"""


class FillParts:
    """`PartStore` of one generation, over connections that look up names in its control tables."""

    def __init__(
        self,
        connections: Connections,
        *,
        generation: Generation,
        container_rid: str,
        owner: InstanceName,
        hold_seconds: float = HOLD_SECONDS,
    ) -> None:
        """Hold parts of that container in the name of `owner`."""
        self._connections = connections
        self._generation = generation
        self._container_rid = container_rid
        self._owner = owner
        self._hold_seconds = hold_seconds

    async def cut(self, leases: Sequence[Lease], *, expected: int | None) -> None:
        """Make these the parts, unless there are some; see `PartStore`."""
        share = None if expected is None else expected // max(1, len(leases))
        async with self._connections.session() as session:
            if await self._are_there(session):
                return
        async with self._connections.transaction() as session:
            await session.execute(LOCK)
            if not await _found(session, "SELECT 1 FROM fill_parts LIMIT 1", {}):
                await cut_parts(session, leases, expected=share)
            await session.execute(SEEN, {"rid": self._container_rid})

    async def _are_there(self, session: Session) -> bool:
        """Whether there are parts, all of this container. Raises RebuildError: of another one."""
        rids = {row[0] for row in await (await session.execute(CONTAINERS)).fetchall()}
        if rids - {None, self._container_rid}:
            raise RebuildError(
                "the container was created anew while this generation was filled from the one before:"
                " give it up (projector rebuild abort), and start again"
            )
        return rids == {self._container_rid}

    async def claim(self) -> Part | None:
        """Hold a part that nobody holds; see `PartStore`."""
        parameters = {"owner": self._owner, "hold": self._hold_seconds}
        async with self._connections.session() as session:
            cursor = session.cursor(row_factory=dict_row)
            row = await (await cursor.execute(CLAIM, parameters)).fetchone()
        return None if row is None else part_of(row)

    async def left(self) -> int:
        """How many parts are not loaded; see `PartStore`.

        One that is overdue and cannot be claimed is held by a transaction: of a process that was stopped
        in the middle of a copy, perhaps.
        """
        async with self._connections.session() as session:
            row = await (await session.execute(LEFT)).fetchone()
        count, overdue = row or (0, False)
        if overdue:
            await end_frozen_copies(self._connections)
        return int(count)

    async def anchor(self, part: Part, position: Position) -> Part:
        """Note where the source stands; see `PartStore`."""
        at = {"anchor": position.continuation, "lsn": position.lsn}
        return await self._changed(ANCHOR, part, at)

    async def begin_anew(self, part: Part, *, range_id: str | None) -> Part:
        """Forget anchor and place, in a lineage above; see `PartStore`."""
        return await self._changed(BEGIN_ANEW, part, {"range_id": range_id})

    async def replace(self, part: Part, children: Sequence[Lease], *, anew: bool) -> None:
        """Put these in the place of the part; see `PartStore`."""
        async with self._connections.transaction() as session:
            cursor = session.cursor(row_factory=dict_row)
            row = await (await cursor.execute(REMOVE, _held(part))).fetchone()
            if row is None:
                raise _lost(part)
            if anew:
                row |= {"lineage": row["lineage"] + 1, "anchor": None, "anchor_lsn": None}
                row |= {"place": None, "since": None, "documents": 0, "newest_ts": None}
            if row["expected"] is not None:
                row["expected"] //= len(children)
            for child in children:
                await session.execute(CHILD, {**row, **named(child)})
                row |= {"documents": 0, "request_units": 0}

    async def hold(self, part: Part, *, error: str | None) -> None:
        """Go on holding the part; see `PartStore`."""
        parameters = {**_held(part), "error": error, "hold": self._hold_seconds}
        async with self._connections.session() as session:
            if not await _found(session, HOLD, parameters):
                raise _lost(part)

    async def release(self, part: Part, *, error: str | None) -> None:
        """Hold it no longer; see `PartStore`."""
        async with self._connections.session() as session:
            await session.execute(RELEASE, {**_held(part), "error": error})

    async def write(self, part: Part, load: Load) -> Part:
        """Commit rows and place, once; see `PartStore`."""
        written = replace(part, place=load.place, batches=part.batches + 1)
        try:
            async with self._connections.transaction() as session:
                if not await self._moved(session, part, load):
                    return written
                await self._quarantine(session, part, load.rejections)
                await self._copy(session, part, load.writes)
        except _Refused:
            await self._write_apart(part, load)
        return written

    async def _write_apart(self, part: Part, load: Load) -> None:
        """The same around what the server refuses, in halves of halves."""
        async with self._connections.transaction() as session:
            if await self._moved(session, part, load):
                await self._quarantine(session, part, load.rejections)
                await self._copy_apart(session, part, load.writes)

    async def _moved(self, session: Session, part: Part, load: Load) -> bool:
        """Hold the part's row until COMMIT; False when this load was committed before."""
        parameters = {
            **_held(part),
            "batches": part.batches,
            "place": load.place,
            "last": load.last,
            "documents": load.documents,
            "newest_ts": load.newest_ts,
            "request_units": load.request_units,
            "hold": self._hold_seconds,
        }
        if await _found(session, WROTE, parameters):
            return True
        if await _found(session, WRITTEN, parameters):
            return False
        raise _lost(part)

    async def _copy(
        self, session: Session, part: Part, writes: Sequence[RowWrite], *, sure: bool = False
    ) -> None:
        if not writes:
            return
        definition, statement = self._generation.definition, copy_statement(self._generation)
        try:
            async with session.cursor() as cursor, cursor.copy(statement) as copy:
                for piece in pieces(writes):
                    text = copy_text(piece, definition, lineage=part.lineage, tick=0, sure=sure)
                    await copy.write(text)
        except psycopg.Error as error:
            if is_of_document(error):
                raise _Refused(error) from error
            raise

    async def _copy_apart(self, session: Session, part: Part, writes: Sequence[RowWrite]) -> None:
        try:
            async with session.transaction():
                await self._copy(session, part, writes, sure=True)
        except _Refused as refused:
            if len(writes) == 1:
                await self._quarantine(session, part, [self._refusal(writes[0], refused.error)])
                return
            middle = len(writes) // 2
            await self._copy_apart(session, part, writes[:middle])
            await self._copy_apart(session, part, writes[middle:])

    def _refusal(self, write: RowWrite, error: psycopg.Error) -> Rejection:
        definition = self._generation.definition
        return refusal(write, definition, first_line(error), sqlstate=error.sqlstate)

    async def _quarantine(
        self, session: Session, part: Part, rejections: Sequence[Rejection]
    ) -> None:
        if rejections:
            low, _ = bounds(keys_of(part.lease))
            await quarantine.store_first(session, rejections, lineage=part.lineage, low=low)

    async def _changed(self, statement: str, part: Part, more: Mapping[str, Any]) -> Part:
        parameters = {**_held(part), **more, "hold": self._hold_seconds}
        async with self._connections.session() as session:
            cursor = session.cursor(row_factory=dict_row)
            row = await (await cursor.execute(statement, parameters)).fetchone()
        if row is None:
            raise _lost(part)
        return part_of(row)


class _Refused(Exception):
    """The server does not take a value."""

    def __init__(self, error: psycopg.Error) -> None:
        super().__init__()
        self.error = error


def _held(part: Part) -> dict[str, Any]:
    return {"id": part.part_id, "epoch": part.epoch}


def _lost(part: Part) -> FencedOut:
    return FencedOut(f"part {part.lease.token} of the first load is held by another process")


async def _found(session: Session, statement: str, parameters: Mapping[str, Any]) -> bool:
    return await (await session.execute(statement, parameters)).fetchone() is not None
