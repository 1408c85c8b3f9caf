"""Asking for replays, and following another container: what `leases reset` commits first.

A request outranks every bookmark until the range has begun anew. It raises the epoch, so that no
batch of a running host commits after it, and clears the position, in one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from projector.core.names import SourceIdentity
from projector.core.ranges import FULL_RANGE, FeedRange
from projector.ports.copy import TargetIdentity
from projector.ports.timeline import Kind
from projector.postgres import generations, replays
from projector.postgres.bookmarks import keep_before_reset
from projector.postgres.connections import Connections
from projector.postgres.inheritance import holders_of
from projector.postgres.ranges import stored_ranges
from projector.postgres.sequences import lock_openings, raise_sequences, with_epochs
from projector.postgres.source import describe_source, register_source
from projector.postgres.timeline import record

CLEAR_PLACE = with_epochs("""
UPDATE ranges SET epoch = {next_epoch}, placed = false,
  continuation = NULL, lsn = NULL, position_time = NULL, anchored_from = NULL
WHERE id = %s""")

FOLLOW_SOURCE = """
INSERT INTO projector.source AS s (container_rid, accepted_at) VALUES (%s, now())
ON CONFLICT (one_row) DO UPDATE SET container_rid = excluded.container_rid, accepted_at = now(),
  account = NULL, database_name = NULL, container_name = NULL, key_path = NULL, projection = NULL
WHERE s.container_rid <> excluded.container_rid"""

RETIRE_OTHERS = with_epochs("""
UPDATE ranges SET epoch = {next_epoch}, retired_at = now(), owner = NULL,
  seen_group = NULL
WHERE container_rid <> %s AND retired_at IS NULL""")

# A container that was followed before: its positions say nothing of what the other one left here, and
# its rows were read before that one's.
RISE_ABOVE = with_epochs("""
UPDATE ranges SET epoch = {next_epoch},
  lineage = (SELECT max(lineage) + 1 FROM ranges), placed = false,
  continuation = NULL, lsn = NULL, position_time = NULL, anchored_from = NULL
WHERE container_rid = %s""")

# What was known to be complete was the copy of the other container.
FORGET_COMPLETE = "UPDATE range_reports SET complete_at = NULL"

END_OTHERS = """
UPDATE replays p SET phase = 'replaced', ended_at = now()
FROM ranges r
WHERE r.id = p.range_id AND r.container_rid <> %s AND p.phase IN ('requested', 'running')"""


async def request_replay(
    connections: Connections,
    container_rid: str,
    ranges: Sequence[FeedRange] | None = None,
    *,
    actor: str = "",
    keep_as: tuple[str, TargetIdentity] | None = None,
) -> int:
    """Make ranges start over when they are next acquired; None: all. Returns how many.

    Where they are is kept under the name of `keep_as`, so that it can be undone while their replays are open.

    What is asked is the stored range that holds the keys, so a child that was not opened yet
    learns of it from its parent. Keys that nobody holds begin at START_FROM anyway.

    Raises:
        SourceRecreated: Another container was copied so far.
    """
    await raise_sequences(connections)
    async with connections.transaction() as session:
        await lock_openings(session)
        await register_source(session, container_rid)
        stored = await stored_ranges(session, container_rid=container_rid, retired=True)
        if keep_as is not None:
            await keep_before_reset(session, stored, keep_as[1], name=keep_as[0])
        wanted_ranges = (FULL_RANGE,) if ranges is None else ranges
        holders = {
            holder.range_id: holder.lease_token
            for wanted in wanted_ranges
            for holder in holders_of(wanted, stored)
        }
        for range_id in sorted(holders):
            await session.execute(CLEAR_PLACE, [range_id])
            await replays.ask_replay(session, range_id)
        subject = "" if ranges is None else ", ".join(sorted(holders.values()))
        await record(session, Kind.RESET, subject, {"ranges": len(holders)}, actor)
    return len(holders)


async def accept_new_source(
    connections: Connections,
    container_rid: str,
    identity: SourceIdentity | None = None,
    *,
    actor: str = "",
) -> bool:
    """Follow another container from now on; False when it is the one followed already.

    Rows stay until the replay of the new container has swept them. All ranges of the old one
    are retired, so that the new ones begin in a lineage above its rows; so do those of a container
    that is followed again.
    """
    await raise_sequences(connections)
    async with connections.transaction() as session:
        await lock_openings(session)
        cursor = await session.execute(FOLLOW_SOURCE, [container_rid])
        if cursor.rowcount == 0:
            return False
        await generations.abort_filling(session, who=actor)
        async for _ in generations.each_fed(session):
            await session.execute(RETIRE_OTHERS, [container_rid])
            await session.execute(RISE_ABOVE, [container_rid])
            await session.execute(END_OTHERS, [container_rid])
            await session.execute(FORGET_COMPLETE)
            await replays.forget_seen(session)
        if identity is not None:
            await describe_source(session, container_rid, identity)
        subject = "" if identity is None else str(identity.name)
        await record(session, Kind.SOURCE_FOLLOWED, subject, {"rid": container_rid}, actor)
    return True


async def accept_projection(
    connections: Connections, container_rid: str, identity: SourceIdentity, *, actor: str = ""
) -> None:
    """Make the rows anew under another definition; they stay until the replay has passed them.

    What was passed over lies here as a tombstone of the very version that the replay will bring,
    so the ranges begin in a lineage above all that is stored.
    """
    await raise_sequences(connections)
    async with connections.transaction() as session:
        await lock_openings(session)
        await register_source(session, container_rid)
        await describe_source(session, container_rid, identity)
        await generations.abort_filling(session, who=actor)
        async for _ in generations.each_fed(session):
            await session.execute(RISE_ABOVE, [container_rid])
        await record(session, Kind.PROJECTION_CHANGED, identity.projection, {}, actor)
