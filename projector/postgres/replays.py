"""Replays as records: asked for, running under a group of seen keys, ended by their sweep.

A range has at most one open replay. It outlives owners and crashes, is handed to the ranges that
take over its keys (same group, same mark, their own bounds), and is replaced by the next one. The
hashes of a group go when no open replay needs them.
"""

from __future__ import annotations

from typing import Any

from projector.ports.ranges import StoredRange
from projector.postgres.connections import Session

REQUESTED = "requested"
RUNNING = "running"

END_OPEN = """
UPDATE replays SET phase = %(phase)s, ended_at = now()
WHERE range_id = %(range_id)s AND phase IN ('requested', 'running')"""

INSERT_REQUESTED = """
INSERT INTO replays (range_id, phase, requested_at) VALUES (%s, 'requested', now())"""

ASKED = "SELECT requested_at FROM replays WHERE range_id = %s AND phase = 'requested'"

INSERT_RUNNING = """
WITH started AS (
  INSERT INTO replays (range_id, phase, mark_lsn, seen_group, requested_at, started_at)
  VALUES (%(range_id)s, 'running', %(mark)s, nextval('projector.seen_groups'),
    COALESCE(%(asked)s, now()), now())
  RETURNING range_id, seen_group)
UPDATE ranges r SET seen_group = s.seen_group FROM started s WHERE r.id = s.range_id"""

COPY_OPEN = """
INSERT INTO replays (range_id, phase, mark_lsn, seen_group, requested_at, started_at)
SELECT %(range_id)s, phase, mark_lsn, seen_group, requested_at, started_at
FROM replays WHERE range_id = %(holder)s AND phase IN ('requested', 'running')"""

FORGET_GROUPS = """
DELETE FROM replay_seen s WHERE NOT EXISTS (
  SELECT FROM replays p WHERE p.seen_group = s.seen_group AND p.phase = 'running')"""


async def start_replay(session: Session, range_id: int, mark_lsn: int) -> None:
    """Open a replay that may end once the range has passed the mark; replaces an open one.

    One that was asked for goes on to tell when.
    """
    asked = await (await session.execute(ASKED, [range_id])).fetchone()
    await _end(session, range_id, "replaced")
    about = {"range_id": range_id, "mark": mark_lsn, "asked": None if asked is None else asked[0]}
    await session.execute(INSERT_RUNNING, about)
    await forget_seen(session)


async def drop_replay(session: Session, range_id: int) -> None:
    """End the open replay, if any, without a sweep: the range starts elsewhere."""
    await _end(session, range_id, "replaced")
    await _clear_group(session, range_id)


async def finish_replay(session: Session, range_id: int) -> None:
    """End the open replay after its sweep."""
    await _end(session, range_id, "done")
    await _clear_group(session, range_id)


async def ask_replay(session: Session, range_id: int) -> None:
    """Ask for a replay; it outranks any bookmark until it has begun."""
    await _end(session, range_id, "replaced")
    await _clear_group(session, range_id)
    await session.execute(INSERT_REQUESTED, [range_id])


async def hand_over(session: Session, *, range_id: int, holder: StoredRange | None) -> None:
    """Give the range the open replay of the one it takes over from; None: it has none."""
    if holder is not None and holder.range_id == range_id:
        return
    await _end(session, range_id, "replaced")
    if holder is not None:
        parameters: dict[str, Any] = {"range_id": range_id, "holder": holder.range_id}
        await session.execute(COPY_OPEN, parameters)


async def mark_inherited(session: Session, range_id: int) -> None:
    """The replay of a range that holds no key any more lives on in its successors."""
    await _end(session, range_id, "inherited")


async def forget_seen(session: Session) -> None:
    """Delete the hashes that no open replay needs."""
    await session.execute(FORGET_GROUPS)


async def _end(session: Session, range_id: int, phase: str) -> None:
    await session.execute(END_OPEN, {"range_id": range_id, "phase": phase})


async def _clear_group(session: Session, range_id: int) -> None:
    await session.execute("UPDATE ranges SET seen_group = NULL WHERE id = %s", [range_id])
    await forget_seen(session)
