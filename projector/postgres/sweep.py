"""The storage side of ending a replay, and of every other write that comes from a point read.

What a replay did not see is found once, by one anti-join of the range's live rows with the hashes
of its group, and kept in `replay_candidates`, so that a sweep of many thousands pages through it
cheaply; a sweep that begins again finds its candidates anew. A candidate is only a suspicion: what
is written are verdicts, under the version order. A verdict may have been read long ago, so it must
not resurrect what is gone and forgotten: a sweep is safe because tombstones are kept while its
replay is open, a repair because it names the tick at which its reads began.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

import msgspec
from psycopg.rows import class_row

from projector.core.errors import FencedOut
from projector.core.names import Epoch
from projector.ports.feed import Grant
from projector.ports.rows import DocumentKey, Mended, ReadMark, Verdict
from projector.ports.timeline import Kind
from projector.postgres import quarantine, replays
from projector.postgres.connections import Connections, JsonText, Session
from projector.postgres.generation import Generation
from projector.postgres.inheritance import of_generation
from projector.postgres.locked import LockedRange, tells_old
from projector.postgres.ranges import bounds
from projector.postgres.statements import BatchShape, with_seeds
from projector.postgres.templates import filled
from projector.postgres.timeline import record
from projector.projection.writes import Batch

SCAN_SECONDS = 3600.0

MARK = """
SELECT id AS range_id, lineage, tick, clock_timestamp() AS at FROM ranges
WHERE id = %(range_id)s AND retired_at IS NULL
  AND (%(epoch)s::bigint IS NULL OR epoch = %(epoch)s::bigint)"""

# Expected plan: two scans of the rows, one hash of the group's keys, an anti-join and a join with the
# tombstones of absence (they bear no etag); then a sort of what is left. Unreadable keys (they start with a backslash) cannot be confirmed by a point read.
COLLECT = with_seeds("""
WITH seen AS (
  SELECT k.key_1, k.key_2 FROM replay_seen s,
    unnest(s.keys_1, s.keys_2) AS k(key_1, key_2) WHERE s.seen_group = %(seen_group)s),
unseen AS (
  SELECT to_json(t.{key})::text AS pk, t.id FROM {rows} t
  WHERE NOT t.deleted AND t.epk BETWEEN %(low)s AND %(high)s AND NOT EXISTS (
    SELECT FROM seen s WHERE s.key_1 = hashtextextended(t.{key} || chr(1) || t.id, {seed_1})
      AND s.key_2 = hashtextextended(t.{key} || chr(1) || t.id, {seed_2}))
  UNION
  SELECT to_json(t.{key})::text, t.id FROM {rows} t JOIN seen s
    ON s.key_1 = hashtextextended(t.{key} || chr(1) || t.id, {seed_1})
    AND s.key_2 = hashtextextended(t.{key} || chr(1) || t.id, {seed_2})
  WHERE t.deleted AND t.etag = '' AND t.epk BETWEEN %(low)s AND %(high)s
  UNION
  SELECT q.partition_key, q.document_id FROM quarantine q
  WHERE q.epk BETWEEN %(low)s AND %(high)s
    AND (q.status = 'closed') = (q.seen_group IS NOT DISTINCT FROM %(seen_group)s)
    AND left(q.partition_key, 1) <> chr(92))
INSERT INTO replay_candidates (range_id, place, partition_key, document_id)
SELECT %(range_id)s, row_number() OVER (ORDER BY pk COLLATE "C", id), pk, id FROM unseen""")

FORGET_CANDIDATES = "DELETE FROM replay_candidates WHERE range_id = %s"

CANDIDATES = """
SELECT place, partition_key, document_id FROM replay_candidates
WHERE range_id = %(range_id)s AND place > %(place)s ORDER BY place LIMIT %(limit)s"""

PLACE_OF = """
SELECT max(place) FROM replay_candidates
WHERE range_id = %(range_id)s AND (partition_key, document_id) <= (%(pk)s, %(id)s)"""

# The tick moves, so that tombstones of verdicts are told from those of the batch before; the
# ticks of batches in flight do not.
# The log of the rows is told who writes (see `history`).
LOCK_EPOCH = """
UPDATE ranges SET tick = tick + 1
WHERE id = %(range_id)s AND epoch = %(epoch)s AND retired_at IS NULL
RETURNING lineage, set_config('projector.cause', 'sweep', true)"""

LOCK_MARK = """
UPDATE ranges SET tick = tick + 1
WHERE id = %(range_id)s AND lineage = %(lineage)s AND purged_tick <= %(tick)s
  AND retired_at IS NULL
RETURNING lineage, set_config('projector.cause', 'repair', true)"""

# What was stored by this very transaction (its time is now()) was refused by the server.
CLOSE = with_seeds("""
UPDATE quarantine q SET status = 'closed', closed_at = now(),
  lineage = %(lineage)s, lsn = k.lsn
FROM json_to_recordset(%(keys)s::json) AS k(pk text, id text, lsn bigint)
WHERE q.key_1 = hashtextextended(k.pk || chr(1) || k.id, {seed_1})
  AND q.key_2 = hashtextextended(k.pk || chr(1) || k.id, {seed_2})
  AND q.status <> 'closed' AND (%(lineage)s, k.lsn) >= (q.lineage, q.lsn)
  AND q.last_seen_at <> now()""")

# Nothing can be asked about an unreadable document; that a whole replay did not bring it is all
# there will ever be to know, and no row depends on it.
CLOSE_UNREADABLE = """
UPDATE quarantine q SET status = 'closed', closed_at = now()
WHERE q.status <> 'closed' AND q.epk BETWEEN %(low)s AND %(high)s
  AND q.seen_group IS DISTINCT FROM %(seen_group)s
  AND left(q.partition_key, 1) = chr(92)"""

RUNNING_GROUP = """
SELECT p.seen_group FROM replays p JOIN ranges r ON r.id = p.range_id
WHERE r.id = %(range_id)s AND r.epoch = %(epoch)s AND r.retired_at IS NULL
  AND p.phase = 'running'"""


def collect_statement(generation: Generation) -> str:
    """Finds what the replay of a range and the tables do not agree about."""
    return filled(COLLECT, rows=generation.rows, key=generation.definition.key.column)


class VerdictStore:
    """Candidates, verdicts, and the end of replays, for one generation."""

    def __init__(
        self, connections: Connections, *, generation: Generation, returning_old: bool | None = None
    ) -> None:
        """Write to that generation; `returning_old` forces one way of telling old images."""
        self._connections = connections
        self._generation = generation
        self._returning_old = returning_old
        # Where each sweep is in its candidates, to save looking up the last key.
        self._reached: dict[int, tuple[DocumentKey, int]] = {}

    async def mark(self, grant: Grant) -> ReadMark:
        """What to note before the reads of a sweep. Raises FencedOut."""
        mark = await self._mark(grant.range_id, grant.epoch)
        if mark is None:
            raise fenced_out(grant)
        return mark

    async def sweep_candidates(
        self, grant: Grant, *, after: DocumentKey | None, limit: int
    ) -> Sequence[DocumentKey]:
        """Keys that replay and tables do not agree about, in order, from behind `after`."""
        if after is None:
            await self._collect(grant)
        async with self._connections.session() as session:
            place = 0 if after is None else await self._place_of(session, grant, after)
            parameters = {"range_id": grant.range_id, "place": place, "limit": limit}
            rows = await (await session.execute(CANDIDATES, parameters)).fetchall()
        keys = [DocumentKey(partition_key=row[1], id=row[2]) for row in rows]
        if keys:
            self._reached[grant.range_id] = keys[-1], rows[-1][0]
        return keys

    async def apply_verdicts(
        self, grant: Grant, *, mark: ReadMark, verdicts: Sequence[Verdict]
    ) -> Mended:
        """Write verdicts with totals in one transaction, under the fence.

        Raises FencedOut, also when the range's lineage is another one by now: it was begun anew.
        """
        async with self._connections.transaction() as session:
            parameters = {"range_id": grant.range_id, "epoch": grant.epoch}
            row = await (await session.execute(LOCK_EPOCH, parameters)).fetchone()
            if row is None or row[0] != mark.lineage:
                raise fenced_out(grant)
            return await self._write(session, grant, mark, verdicts)

    async def finish_replay(self, grant: Grant, *, swept: Mended | None = None) -> None:
        """Close the open replay of the range. Raises FencedOut."""
        claim = grant.claim
        told = {**({} if swept is None else asdict(swept)), **of_generation(claim.processor_name)}
        low, high = bounds(claim.feed_range)
        async with self._connections.transaction() as session:
            group = await self._lock_running(session, grant)
            await session.execute(CLOSE_UNREADABLE, {"low": low, "high": high, "seen_group": group})
            await replays.finish_replay(session, grant.range_id)
            await session.execute(FORGET_CANDIDATES, [grant.range_id])
            await record(session, Kind.SWEEP_DONE, claim.lease_token, told, claim.owner)
        self._reached.pop(grant.range_id, None)

    async def read_mark(self, range_id: int) -> ReadMark | None:
        """What to note before point reads for a repair; None when the range is not live."""
        return await self._mark(range_id, None)

    async def apply_repairs(
        self, grant: Grant, mark: ReadMark, verdicts: Sequence[Verdict]
    ) -> Mended | None:
        """Write verdicts beside the owner of the range, whoever it is.

        `grant` tells range and bounds only; no epoch is needed, because version and mark decide.
        None: nothing was written, since the range changed after the reads; read again.
        """
        async with self._connections.transaction() as session:
            parameters = {
                "range_id": mark.range_id,
                "lineage": mark.lineage,
                "tick": mark.tick,
            }
            row = await (await session.execute(LOCK_MARK, parameters)).fetchone()
            if row is None:
                return None
            return await self._write(session, grant, mark, verdicts)

    async def _collect(self, grant: Grant) -> None:
        low, high = bounds(grant.claim.feed_range)
        async with self._connections.transaction(seconds=SCAN_SECONDS) as session:
            group = await self._running_group(session, grant)
            await allow_scan(session)
            await session.execute(FORGET_CANDIDATES, [grant.range_id])
            await session.execute(
                collect_statement(self._generation),
                {"range_id": grant.range_id, "seen_group": group, "low": low, "high": high},
            )

    async def _place_of(self, session: Session, grant: Grant, after: DocumentKey) -> int:
        reached = self._reached.get(grant.range_id)
        if reached is not None and reached[0] == after:
            return reached[1]
        parameters = {"range_id": grant.range_id, "pk": after.partition_key, "id": after.id}
        row = await (await session.execute(PLACE_OF, parameters)).fetchone()
        return 0 if row is None or row[0] is None else int(row[0])

    async def _running_group(self, session: Session, grant: Grant) -> int:
        parameters = {"range_id": grant.range_id, "epoch": grant.epoch}
        row = await (await session.execute(RUNNING_GROUP, parameters)).fetchone()
        if row is None:
            raise fenced_out(grant)
        return int(row[0])

    async def _lock_running(self, session: Session, grant: Grant) -> int:
        parameters = {"range_id": grant.range_id, "epoch": grant.epoch}
        if await (await session.execute(LOCK_EPOCH, parameters)).fetchone() is None:
            raise fenced_out(grant)
        return await self._running_group(session, grant)

    async def _mark(self, range_id: int, epoch: Epoch | None) -> ReadMark | None:
        async with (
            self._connections.session() as session,
            session.cursor(row_factory=class_row(ReadMark)) as cursor,
        ):
            await cursor.execute(MARK, {"range_id": range_id, "epoch": epoch})
            return await cursor.fetchone()

    async def _write(
        self, session: Session, grant: Grant, mark: ReadMark, verdicts: Sequence[Verdict]
    ) -> Mended:
        grant = replace(grant, lineage=mark.lineage)
        shape = BatchShape(
            generation=self._generation,
            returning_old=tells_old(session, forced=self._returning_old),
            locked=True,
            verdict=True,
        )
        writes = [verdict.write for verdict in verdicts if verdict.write is not None]
        rejections = [one.rejection for one in verdicts if one.rejection is not None]
        batch = Batch(
            writes=tuple(sorted(writes, key=lambda write: (write.key, write.id))),
            rejections=tuple(rejections),
        )
        done = await LockedRange(session=session, shape=shape, grant=grant, mark=mark).apply(batch)
        await self._close(session, grant, verdicts)
        changed = done.upserted + done.removed
        return Mended(
            removed=done.removed,
            projected=done.upserted,
            unchanged=max(0, len(verdicts) - changed),
        )

    async def _close(self, session: Session, grant: Grant, verdicts: Sequence[Verdict]) -> None:
        keys = [
            {"pk": one.key.partition_key, "id": one.key.id, "lsn": one.lsn}
            for one in verdicts
            if one.rejection is None
        ]
        parameters = {"keys": JsonText(msgspec.json.encode(keys)), "lineage": grant.lineage}
        await session.execute(CLOSE, parameters)
        await quarantine.refresh_flag(session, grant)


async def allow_scan(session: Session) -> None:
    """Let this transaction read whole tables, for as long as that takes."""
    await session.execute(
        "SELECT set_config('statement_timeout', '0', true), set_config('work_mem', '64MB', true),"
        " set_config('enable_seqscan', 'on', true), set_config('enable_hashjoin', 'on', true),"
        " set_config('enable_mergejoin', 'on', true)"
    )


def fenced_out(grant: Grant) -> FencedOut:
    """A newer epoch owns the range of this grant."""
    return FencedOut(f"range {grant.claim.lease_token} has a newer epoch")
