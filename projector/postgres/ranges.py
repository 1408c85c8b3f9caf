"""Opening a range: the fence, and what the range takes over from those before it.

Invariant: at any time the live rows of `projector.ranges` of one container do not overlap, and a
transaction that writes rows has locked the one whose epoch it holds. Opening raises epochs first,
each on its own, so that a row held by a stopped host delays only those who want its keys; the
decision and its rows follow in a short transaction under one lock.

Feed ranges as intervals of the rows' `epk` column: the top 64 bits of the partition key's hash.

The service cuts ranges at multiples far above 2^64, so the top half tells on which side a key is. A bound that
does not end in zeros would put the keys that share its top half on both sides; the one reader of these
intervals, the sweep, confirms every key by a point read anyway.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from psycopg.rows import DictRow, dict_row

from projector.core.errors import FencedOut, SinkUnavailable
from projector.core.names import Continuation, Epoch, InstanceName, LeaseToken
from projector.core.ranges import FULL_RANGE, MAX_EPK, FeedRange
from projector.core.start import Position
from projector.ports.feed import Beginning, Grant, RangeClaim
from projector.ports.ranges import StoredRange
from projector.postgres import replays
from projector.postgres.blockers import end_frozen_copies
from projector.postgres.connections import Connections, Session
from projector.postgres.errors import LOCK_TIMEOUT
from projector.postgres.inheritance import (
    FinishSplit,
    Inheritance,
    Reopen,
    StartFresh,
    TakeOver,
    decide_inheritance,
    holders_of,
    is_same,
    news_of,
    split_of,
)
from projector.postgres.sequences import lock_openings, raise_sequences, with_epochs
from projector.postgres.source import register_source
from projector.postgres.timeline import record

BEING_FILLED = """
SELECT g.id FROM projector.generations g
WHERE g.state = 'filling' AND to_regnamespace(g.control_schema) =
  (SELECT c.relnamespace FROM pg_class c WHERE c.oid = 'ranges'::regclass)"""

HIGHEST = 2**63 - 1


def bounds(feed_range: FeedRange) -> tuple[int, int]:
    """Lowest and highest `epk` of the range, both inclusive."""
    low, _ = _halves(feed_range.min)
    if feed_range.max == MAX_EPK:
        return low, HIGHEST
    high, rest = _halves(feed_range.max)
    return low, high if rest else high - 1


def _halves(bound: str) -> tuple[int, int]:
    digits = bound.ljust(32, "0")
    return min(int(digits[:16], 16), HIGHEST), int(digits[16:32], 16)


STORED_RANGES = """
SELECT r.id, r.container_rid, r.lease_token, r.processor_name, r.min_epk, r.max_epk, r.owner, r.epoch,
  r.opened_epoch, r.lineage, r.placed, r.continuation, r.lsn, r.position_time, r.anchored_from,
  r.read_since, r.tick, r.purged_tick, r.opened_at, r.last_commit_at, r.retired_at IS NOT NULL AS retired,
  p.phase AS replay_phase, p.mark_lsn AS replay_mark_lsn, p.requested_at AS replay_since,
  p.seen_group
FROM ranges r
LEFT JOIN replays p ON p.range_id = r.id AND p.phase IN ('requested', 'running')
WHERE r.min_epk < %(max)s AND r.max_epk > %(min)s AND (r.retired_at IS NULL OR %(retired)s)
  AND (%(rid)s::text IS NULL OR r.container_rid = %(rid)s)
ORDER BY r.opened_epoch DESC"""

RAISE_EPOCHS = with_epochs("""
UPDATE ranges SET epoch = {next_epoch}
WHERE container_rid = %(rid)s AND min_epk < %(max)s AND max_epk > %(min)s
  AND retired_at IS NULL""")

RETIRE = with_epochs("""
UPDATE ranges
SET epoch = {next_epoch}, retired_at = now(), owner = NULL, seen_group = NULL
WHERE container_rid = %(rid)s AND min_epk < %(max)s AND max_epk > %(min)s
  AND retired_at IS NULL AND id <> %(id)s""")

# The ticks start above all that was ever committed in the range: a page that is read from now on
# was read after all of it.
WRITE_RANGE = with_epochs("""
INSERT INTO ranges AS r (container_rid, processor_name, lease_token, min_epk, max_epk,
  owner, epoch, opened_epoch, lineage, placed, continuation, lsn, position_time, anchored_from,
  read_since, tick, recent_ticks, purged_tick, seen_group, quarantined, opened_at)
SELECT %(rid)s, %(processor)s, %(token)s, %(min)s, %(max)s, %(owner)s, e.epoch, e.epoch,
  %(lineage)s, %(placed)s, %(continuation)s, %(lsn)s, %(position_time)s, %(anchored_from)s,
  %(read_since)s, %(tick)s, array_fill(%(tick)s::bigint, ARRAY[4]), %(purged_tick)s,
  %(seen_group)s, EXISTS (
    SELECT FROM quarantine q
    WHERE q.status <> 'closed' AND q.epk >= %(low)s AND q.epk <= %(high)s), now()
FROM (SELECT {next_epoch} AS epoch) e
ON CONFLICT (container_rid, min_epk, max_epk, lease_token) DO UPDATE SET
  processor_name = excluded.processor_name, owner = excluded.owner, epoch = excluded.epoch,
  opened_epoch = excluded.opened_epoch, lineage = excluded.lineage, placed = excluded.placed,
  continuation = excluded.continuation, lsn = excluded.lsn,
  position_time = excluded.position_time, anchored_from = excluded.anchored_from, read_since = excluded.read_since,
  tick = excluded.tick, recent_ticks = excluded.recent_ticks, purged_tick = excluded.purged_tick,
  seen_group = excluded.seen_group, quarantined = excluded.quarantined,
  opened_at = excluded.opened_at, retired_at = NULL
RETURNING id, epoch""")

# Who begins at a time in rows that had been read further passes nothing over: fewer are excused by their age.
BEGIN = """
UPDATE ranges SET placed = true, continuation = %(continuation)s, lsn = %(lsn)s,
  position_time = CASE WHEN %(continuation)s::text IS NOT NULL THEN position_time END,
  anchored_from = %(anchored_from)s, lineage = lineage + %(raise)s::int,
  read_since = CASE WHEN %(replay)s THEN NULL WHEN %(anchored_from)s::text IS NULL THEN read_since
    WHEN NOT %(raise)s AND continuation IS NOT NULL AND lsn >= %(lsn)s::bigint
      THEN CASE WHEN read_since IS NOT NULL THEN LEAST(read_since, %(anchored_from)s::timestamptz) END
    ELSE %(anchored_from)s::timestamptz END
WHERE id = %(id)s AND epoch = %(epoch)s AND retired_at IS NULL RETURNING lineage"""


async def open_range(
    connections: Connections, claim: RangeClaim, *, projection: str | None = None
) -> Grant:
    """Fence the range and tell its position.

    1. The container must be the one that is copied (the first one ever seen is), and the rows
    those of `projection`.
    2. Epochs of all live overlapping ranges are raised: their owners can commit no more.
    3. Under the lock: the container again, since another one may be followed by now; retire what
       overlaps, store the range with what it takes over.

    Raises:
        SourceRecreated: The rows are a copy of another container.
        ProjectionChanged: They are made under another filter by now.
        SinkUnavailable: No server, or a row of the range is held for too long.
    """
    await raise_sequences(connections)
    try:
        async with connections.session() as session:
            await register_source(session, claim.container_rid, projection=projection)
            if claim.probe:
                return Grant(claim=claim, epoch=Epoch(0))
            decision = decide_inheritance(
                claim, await stored_ranges(session, keys=claim.feed_range, retired=True)
            )
            if isinstance(decision, FinishSplit):
                return _retired(claim, decision.stored)
            await session.execute(RAISE_EPOCHS, _bounds_of(claim))
    except SinkUnavailable as error:
        if error.sqlstate == LOCK_TIMEOUT and await end_frozen_copies(connections):
            raise SinkUnavailable(
                "a host was stopped while it copied rows into the range; its session was ended",
                sqlstate=error.sqlstate,
            ) from error
        raise
    async with connections.transaction() as session:
        await lock_openings(session)
        await _refuse_while_filled(session)
        await register_source(session, claim.container_rid, projection=projection)
        stored = await stored_ranges(session, keys=claim.feed_range, retired=True)
        decision = decide_inheritance(claim, stored)
        if isinstance(decision, FinishSplit):
            return _retired(claim, decision.stored)
        grant = await store_range(session, claim, decision, stored)
        await _tell(session, claim, decision, stored)
        return grant


async def _refuse_while_filled(session: Session) -> None:
    """After a failover a host may follow a generation that is being loaded by now; it will hear of it soon."""
    row = await (await session.execute(BEING_FILLED)).fetchone()
    if row is not None:
        raise SinkUnavailable(
            f"generation {row[0]} is being loaded: hosts follow once it is filled"
        )


async def _tell(
    session: Session, claim: RangeClaim, decision: Inheritance, before: Sequence[StoredRange]
) -> None:
    """The timeline learns of it, with the opening or not at all."""
    news = list(news_of(claim, decision, before))
    if isinstance(decision, TakeOver):
        parent = decision.holder
        after = await stored_ranges(session, keys=parent.feed_range, retired=True)
        news += split_of(claim, parent, after)
    for kind, subject, detail in news:
        await record(session, kind, subject, detail, claim.owner)


async def begin_range(connections: Connections, grant: Grant, beginning: Beginning) -> Grant:
    """Commit where the range starts, and the record of its replay, before any page is read.

    Raises:
        FencedOut: A newer epoch owns the range.
    """
    parameters = {
        "id": grant.range_id,
        "epoch": grant.epoch,
        "continuation": beginning.position.continuation,
        "lsn": beginning.position.lsn,
        "anchored_from": beginning.anchored_from,
        "raise": beginning.raise_lineage,
        "replay": beginning.replay_mark_lsn is not None,
    }
    async with connections.transaction() as session:
        row = await (await session.execute(BEGIN, parameters)).fetchone()
        if row is None:
            raise FencedOut(f"range {grant.claim.lease_token} has a newer epoch")
        begun = replace(grant, stored=beginning.position, lineage=row[0], replay_requested=False)
        if beginning.replay_mark_lsn is not None:
            await replays.start_replay(session, grant.range_id, beginning.replay_mark_lsn)
            return replace(begun, replay_open=True, replay_mark_lsn=beginning.replay_mark_lsn)
        if beginning.anchored_from is not None:  # a start from now or a time sweeps nothing
            await replays.drop_replay(session, grant.range_id)
            return replace(begun, replay_open=False, replay_mark_lsn=None)
        return begun


async def stored_ranges(
    session: Session,
    *,
    keys: FeedRange = FULL_RANGE,
    container_rid: str | None = None,
    retired: bool = False,
) -> Sequence[StoredRange]:
    """The live stored ranges that share a key with these, newest first.

    Args:
        session: to read with.
        keys: all by default.
        container_rid: of one container; None: of whichever.
        retired: those that were split or merged away, too.
    """
    cursor = session.cursor(row_factory=dict_row)
    parameters = {"min": keys.min, "max": keys.max, "rid": container_rid, "retired": retired}
    await cursor.execute(STORED_RANGES, parameters)
    return [_stored_range(row) for row in await cursor.fetchall()]


async def live_ranges(
    connections: Connections, container_rid: str | None = None
) -> Sequence[StoredRange]:
    """The live ranges, lowest first; of one container, or of whichever is copied."""
    async with connections.session() as session:
        found = await stored_ranges(session, container_rid=container_rid)
    return sorted(found, key=lambda one: one.feed_range)


async def store_range(
    session: Session,
    claim: RangeClaim,
    decision: Reopen | TakeOver | StartFresh,
    stored: Sequence[StoredRange],
) -> Grant:
    """Store the claim as the live range of its keys, with what it takes over."""
    exact = next((one for one in stored if is_same(claim, one)), None)
    await session.execute(
        RETIRE, {**_bounds_of(claim), "id": 0 if exact is None else exact.range_id}
    )
    holder = _holder(decision)
    row = await (await session.execute(WRITE_RANGE, _row_of(claim, decision, stored))).fetchone()
    if row is None:  # pragma: no cover - INSERT .. ON CONFLICT DO UPDATE returns its row
        raise FencedOut(f"range {claim.lease_token} was not stored")
    range_id, epoch = row
    await replays.hand_over(session, range_id=range_id, holder=holder)
    await _end_replays_without_keys(session, claim, stored)
    phase = None if holder is None else holder.replay_phase
    return Grant(
        claim=claim,
        epoch=Epoch(epoch),
        range_id=range_id,
        lineage=_lineage(decision),
        stored=None if holder is None else holder.position,
        replay_requested=phase == replays.REQUESTED,
        replay_open=phase == replays.RUNNING,
        replay_mark_lsn=None if holder is None else holder.replay_mark_lsn,
        read_since=None if holder is None else holder.read_since,
    )


async def _end_replays_without_keys(
    session: Session, claim: RangeClaim, stored: Sequence[StoredRange]
) -> None:
    """A replay lives on in the ranges that took it over, once they hold all of its keys."""
    for old in stored:
        if old.replay_phase is None or is_same(claim, old):
            continue
        others = await stored_ranges(
            session, keys=old.feed_range, container_rid=old.container_rid, retired=True
        )
        holders = holders_of(old.feed_range, others)
        if all(holder.range_id != old.range_id for holder in holders):
            await replays.mark_inherited(session, old.range_id)


def _holder(decision: Inheritance) -> StoredRange | None:
    match decision:
        case Reopen(stored=holder) | TakeOver(holder=holder) | FinishSplit(stored=holder):
            return holder
        case StartFresh():
            return None


def _lineage(decision: Inheritance) -> int:
    holder = _holder(decision)
    if isinstance(decision, StartFresh):
        return decision.lineage
    return 0 if holder is None else holder.lineage


def _row_of(
    claim: RangeClaim, decision: Inheritance, stored: Sequence[StoredRange]
) -> Mapping[str, Any]:
    holder = _holder(decision)
    position = None if holder is None else holder.position
    running = holder is not None and holder.replay_phase == replays.RUNNING
    low, high = bounds(claim.feed_range)
    return {
        **_bounds_of(claim),
        "low": low,
        "high": high,
        "processor": claim.processor_name,
        "token": claim.lease_token,
        "owner": claim.owner,
        "lineage": _lineage(decision),
        "placed": position is not None,
        "continuation": None if position is None else position.continuation,
        "lsn": None if position is None else position.lsn,
        "anchored_from": None if holder is None else holder.anchored_from,
        "position_time": None if holder is None else holder.position_time,
        "read_since": None if holder is None else holder.read_since,
        "tick": max((one.tick for one in stored), default=0) + 1,
        "purged_tick": max((one.purged_tick for one in stored), default=0),
        "seen_group": holder.seen_group if holder is not None and running else None,
    }


def _retired(claim: RangeClaim, stored: StoredRange) -> Grant:
    return Grant(
        claim=claim,
        epoch=stored.epoch,
        range_id=stored.range_id,
        lineage=stored.lineage,
        stored=stored.position,
        retired=True,
    )


def _bounds_of(claim: RangeClaim) -> Mapping[str, Any]:
    return {
        "rid": claim.container_rid,
        "min": claim.feed_range.min,
        "max": claim.feed_range.max,
    }


def _stored_range(row: DictRow) -> StoredRange:
    continuation = row["continuation"]
    position = Position(
        continuation=None if continuation is None else Continuation(continuation), lsn=row["lsn"]
    )
    taken = {name: row[name] for name in _AS_STORED}
    return StoredRange(
        range_id=row["id"],
        lease_token=LeaseToken(row["lease_token"]),
        feed_range=FeedRange(min=row["min_epk"], max=row["max_epk"]),
        owner=None if row["owner"] is None else InstanceName(row["owner"]),
        epoch=Epoch(row["epoch"]),
        opened_epoch=Epoch(row["opened_epoch"]),
        position=position if row["placed"] else None,
        **taken,
    )


_AS_STORED = (
    "container_rid",
    "processor_name",
    "lineage",
    "anchored_from",
    "tick",
    "purged_tick",
    "retired",
    "replay_phase",
    "replay_mark_lsn",
    "replay_since",
    "seen_group",
    "position_time",
    "read_since",
    "opened_at",
    "last_commit_at",
)
