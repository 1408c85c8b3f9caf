"""Saved bookmarks: taking them, keeping them under a name, and going back to them.

What is saved are the positions that go with the rows, all of one moment. To go back raises the epoch and
lowers the position in one transaction, so that no batch of a running host commits after it and each
opening starts there, whatever the leases say. It is no replay: nothing is swept on its account, and a
replay that is open stays open, since it has seen all that lies before the position. Lineage and versions of
the rows stay as they are, so that what is read again changes nothing.

A reset keeps where it found the ranges. To go back to that ends its replay, wherever that is: all that lies
before the position was in the rows when the replay was asked for, and a replay takes nothing away that is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from projector.core.bookmark_file import decode, encode
from projector.core.bookmarks import OF_RESETS, Move, Snapshot, moves, positions_of, refuse_forward
from projector.core.errors import ConfigurationError, SinkUnavailable
from projector.core.ranges import FeedRange
from projector.ports.copy import KeptSnapshot, TargetIdentity
from projector.ports.ranges import StoredRange
from projector.ports.timeline import Kind
from projector.postgres import replays
from projector.postgres.connections import Connections, JsonText, Session
from projector.postgres.generations import each_fed
from projector.postgres.ranges import stored_ranges
from projector.postgres.sequences import lock_openings, raise_sequences, with_epochs
from projector.postgres.source import copied_source, register_source
from projector.postgres.timeline import record

KEEP = """
INSERT INTO projector.bookmarks (name, taken_at, container_rid, document)
VALUES (%(name)s, %(taken_at)s, %(rid)s, %(document)s::jsonb)
ON CONFLICT (name) DO {conflict}"""
NEVER_OVER = "NOTHING"
OVER = """UPDATE SET taken_at = excluded.taken_at, container_rid = excluded.container_rid,
  document = excluded.document"""

LIST = """
SELECT name, taken_at, container_rid, jsonb_array_length(document->'ranges') AS ranges
FROM projector.bookmarks ORDER BY taken_at, name"""

FIND = "SELECT document::text FROM projector.bookmarks WHERE name = %s"

FORGET = "DELETE FROM projector.bookmarks WHERE name = %s"

OPEN_RESETS = "SELECT requested_at FROM replays WHERE phase IN ('requested', 'running')"

FORGET_RESETS = """
DELETE FROM projector.bookmarks
WHERE name ~ %(of_resets)s AND taken_at < now() - %(age)s AND taken_at <> ALL(%(open)s::timestamptz[])"""

# A host may have committed more since, which makes the position lie only further back; or less, when it was
# begun anew: then this must not move it.
GO_BACK = with_epochs("""
UPDATE ranges SET epoch = {next_epoch}, continuation = %(continuation)s, lsn = %(lsn)s,
  position_time = LEAST(position_time, %(time)s::timestamptz), anchored_from = NULL,
  read_since = CASE WHEN read_since IS NOT NULL THEN LEAST(read_since, %(since)s::timestamptz) END
WHERE id = %(id)s AND placed AND lsn >= %(lsn)s""")

# Back to where the replay found it; see `keep_before_reset`.
UNDO_RESET = with_epochs("""
UPDATE ranges AS r SET epoch = {next_epoch}, placed = true, continuation = %(continuation)s,
  lsn = %(lsn)s, position_time = %(time)s, anchored_from = NULL, read_since = NULL
WHERE id = %(id)s AND EXISTS (SELECT FROM replays AS p WHERE p.range_id = r.id
  AND p.phase IN ('requested', 'running') AND p.requested_at = %(taken_at)s)""")


async def take(
    connections: Connections, target: TargetIdentity, *, name: str, now: datetime
) -> Snapshot:
    """The positions of all ranges as they are at one moment.

    Raises:
        ConfigurationError: Nothing is copied yet, or a range has no position that could be saved.
    """
    async with connections.session() as session:
        source = await copied_source(session)
        if source is None:
            raise ConfigurationError("nothing is copied yet: start a host first")
        stored = await stored_ranges(session, container_rid=source.rid, retired=True)
    return Snapshot(
        name=name,
        taken_at=now,
        container_rid=source.rid,
        source=source.name,
        target_id=target.id,
        target_name=target.name,
        positions=positions_of(stored),
    )


async def keep(connections: Connections, snapshot: Snapshot, *, over: bool = False) -> bool:
    """Keep it under its name; False when that is taken, unless it may be written `over`."""
    async with connections.session() as session:
        return await _keep(session, snapshot, over=over)


async def _keep(session: Session, snapshot: Snapshot, *, over: bool = False) -> bool:
    statement = KEEP.replace("{conflict}", OVER if over else NEVER_OVER)
    parameters = {
        "name": snapshot.name,
        "taken_at": snapshot.taken_at,
        "rid": snapshot.container_rid,
        "document": JsonText(encode(snapshot)),
    }
    return (await session.execute(statement, parameters)).rowcount > 0


async def keep_before_reset(
    session: Session, stored: Sequence[StoredRange], target: TargetIdentity, *, name: str
) -> None:
    """Keep where the ranges are, in the transaction that makes them start over: of that very moment.

    Nothing is kept where a range has no position, or holds only what was changed since some time: what
    a replay of that brings is more than there was. Nor where a replay is open: to end that of the reset
    would end what the other one owed.
    """
    source = await copied_source(session)
    row = await (await session.execute("SELECT now()")).fetchone()
    if (
        source is None
        or row is None
        or any(one.read_since is not None or one.replay_phase is not None for one in stored)
    ):
        return
    with suppress(ConfigurationError):
        snapshot = Snapshot(
            name=name,
            taken_at=row[0].astimezone(UTC),
            container_rid=source.rid,
            source=source.name,
            target_id=target.id,
            target_name=target.name,
            positions=positions_of(stored),
        )
        await _keep(session, snapshot)


async def kept(connections: Connections) -> Sequence[KeptSnapshot]:
    """Those that are kept, oldest first."""
    return await connections.all_rows(KeptSnapshot, LIST)


async def find(connections: Connections, name: str) -> Snapshot | None:
    """The one of that name.

    Raises:
        ConfigurationError: A newer program has kept it in a form of its own.
    """
    row = await connections.first_row(FIND, [name])
    return None if row is None else decode(row[0].encode(), where=f"the snapshot {name!r}")


async def forget(connections: Connections, name: str) -> bool:
    """Remove one; False when there is none of that name."""
    async with connections.session() as session:
        return (await session.execute(FORGET, [name])).rowcount > 0


async def forget_resets(connections: Connections, *, age: timedelta) -> int:
    """Remove what resets kept that long ago; returns how many. One that can still be undone stays."""
    async with connections.transaction() as session:
        asked: list[datetime] = []
        async for _ in each_fed(session):
            asked += [at for (at,) in await (await session.execute(OPEN_RESETS)).fetchall()]
        parameters = {"of_resets": OF_RESETS, "age": age, "open": asked}
        return (await session.execute(FORGET_RESETS, parameters)).rowcount


async def go_back(
    connections: Connections,
    container_rid: str,
    snapshot: Snapshot,
    keys: Sequence[FeedRange] | None = None,
    *,
    told: tuple[Kind, str],
    actor: str,
) -> Sequence[Move]:
    """Make ranges read on from saved positions, fenced; None: all. Nothing is moved, or all of it.

    What goes back are the stored ranges that hold the keys, so a child that was not opened yet
    learns of it from its parent.

    Raises:
        SourceRecreated: Another container is copied.
        ConfigurationError: A range would go forward.
    """
    await raise_sequences(connections)
    async with connections.transaction() as session:
        await lock_openings(session)
        await register_source(session, container_rid)

        async def planned() -> list[Move]:
            stored = await stored_ranges(session, container_rid=container_rid, retired=True)
            found = moves(stored, snapshot, keys)
            refuse_forward(found)
            return sorted(found, key=lambda one: one.range_id)

        done = await planned()
        for move in done:
            text, about = (UNDO_RESET if move.undoes else GO_BACK), _parameters(move, snapshot)
            if (await session.execute(text, about)).rowcount == 0:
                await planned()
                raise SinkUnavailable(
                    f"range {move.lease_token} was begun anew meanwhile, nothing was moved: try again"
                )
            if move.undoes:
                await replays.drop_replay(session, move.range_id)
        kind, subject = told
        detail = {"ranges": len(done), "to": snapshot.taken_at.isoformat(timespec="seconds")}
        await record(session, kind, subject, detail, actor)
    return done


def _parameters(move: Move, snapshot: Snapshot) -> Mapping[str, object]:
    position = move.position
    return {
        "id": move.range_id,
        "continuation": position.continuation,
        "lsn": position.lsn,
        "time": position.time,
        "since": position.since,
        "taken_at": snapshot.taken_at,
    }
