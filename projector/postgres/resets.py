"""Asking for replays, and following another container: what `leases reset` commits first.

A request outranks every bookmark until the range has begun anew. It raises the epoch, so that no
batch of a running host commits after it, and clears the position, in one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from projector.core.ranges import FULL_RANGE
from projector.ports.feed import RangeClaim
from projector.postgres import replays
from projector.postgres.connections import Connections, Session
from projector.postgres.inheritance import (
    FinishSplit,
    decide_inheritance,
    holders_of,
)
from projector.postgres.ranges import (
    all_stored,
    lock_openings,
    overlapping,
    place_range,
    register_source,
    stored_source,
)

CLEAR_PLACE = """
UPDATE projector.ranges SET epoch = nextval('projector.epochs'), placed = false,
  continuation = NULL, lsn = NULL, anchored_from = NULL
WHERE id = %s"""

FOLLOW_SOURCE = """
INSERT INTO projector.source AS s (container_rid, accepted_at) VALUES (%s, now())
ON CONFLICT (one_row) DO UPDATE SET container_rid = excluded.container_rid, accepted_at = now()
WHERE s.container_rid <> excluded.container_rid"""

RETIRE_OTHERS = """
UPDATE projector.ranges SET epoch = nextval('projector.epochs'), retired_at = now(), owner = NULL,
  seen_group = NULL
WHERE container_rid <> %s AND retired_at IS NULL"""

END_OTHERS = """
UPDATE projector.replays p SET phase = 'replaced', ended_at = now()
FROM projector.ranges r
WHERE r.id = p.range_id AND r.container_rid <> %s AND p.phase IN ('requested', 'running')"""


async def request_replays(connections: Connections, claims: Sequence[RangeClaim]) -> int:
    """Make the ranges start over when they are next acquired; returns how many.

    A range that was never opened under its lease is stored first, so that the request is kept.
    One that was split away is left alone: its children are what counts.

    Raises:
        SourceRecreated: The claims are of another container than the one that is copied.
    """
    asked = 0
    async with connections.transaction() as session:
        await lock_openings(session)
        for claim in claims:
            await register_source(session, claim.container_rid)
            stored = await overlapping(session, claim)
            decision = decide_inheritance(claim, stored)
            if isinstance(decision, FinishSplit):
                continue
            grant = await place_range(session, claim, decision, stored)
            await _ask(session, grant.range_id)
            asked += 1
    return asked


async def request_all_replays(connections: Connections) -> int:
    """The same for every key of the container that is copied; returns how many ranges."""
    async with connections.transaction() as session:
        await lock_openings(session)
        rid = await stored_source(session)
        # Retired ranges hold keys as long as their successors were not all opened.
        holders = [] if rid is None else holders_of(FULL_RANGE, await all_stored(session, rid))
        for holder in holders:
            await _ask(session, holder.id)
    return len(holders)


async def accept_new_source(connections: Connections, container_rid: str) -> bool:
    """Follow another container from now on; False when it is the one followed already.

    Rows stay until the replay of the new container has swept them. All ranges of the old one
    are retired, so that the new ones begin in a lineage above its rows.
    """
    async with connections.transaction() as session:
        await lock_openings(session)
        cursor = await session.execute(FOLLOW_SOURCE, [container_rid])
        if cursor.rowcount == 0:
            return False
        await session.execute(RETIRE_OTHERS, [container_rid])
        await session.execute(END_OTHERS, [container_rid])
        await replays.forget_seen(session)
    return True


async def _ask(session: Session, range_id: int) -> None:
    await session.execute(CLEAR_PLACE, [range_id])
    await replays.ask_replay(session, range_id)
