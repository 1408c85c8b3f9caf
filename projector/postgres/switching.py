"""Makes a generation live, forwards and back: views, states and reigns in one transaction.

No batch is in flight while it happens, and the one that becomes live is nowhere behind the other, so whoever
reads sees no change taken back. Both are fed by their own positions before and after; nothing of a batch has
to know. Readers see one generation or the other: whoever has touched a view holds it, and none of them is
replaced before all are. A snapshot that is older than the generation itself would see it half filled, so
the switch waits for those, as far as the server lets us know of them.

Nothing is waited for longer than a moment, since readers would queue behind us: the caller tries again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from projector.core.errors import RebuildError, SinkUnavailable
from projector.core.ranges import FeedRange, uncovered
from projector.ports.generations import GenerationRecord, GenerationState
from projector.ports.timeline import Kind
from projector.postgres import timeline
from projector.postgres.connections import Connections, Session
from projector.postgres.errors import first_line
from projector.postgres.generation import Generation
from projector.postgres.generations import (
    LOCK,
    Registered,
    all_records,
    by_id,
    live,
    tell,
)
from projector.postgres.pointing import point_views
from projector.postgres.recording import read_from_now

BATCHES_MILLISECONDS = 2000
READERS_MILLISECONDS = 250

NO_BATCHES = "LOCK TABLE {former}.ranges, {to}.ranges IN SHARE ROW EXCLUSIVE MODE"

PLACES = """
SELECT r.min_epk, r.max_epk, r.placed, r.lsn FROM {control}.ranges r
WHERE r.retired_at IS NULL AND r.container_rid = (SELECT container_rid FROM projector.source)
ORDER BY r.min_epk"""

OLD_SNAPSHOTS = """
SELECT format('pid %%s (user %%s, since %%s)', pid, usename, to_char(xact_start, 'YYYY-MM-DD HH24:MI:SSOF'))
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_xmin IS NOT NULL
  AND backend_type = 'client backend' AND xact_start <= %s
ORDER BY xact_start LIMIT 3"""

READERS = """
SELECT DISTINCT format('pid %%s (user %%s)', a.pid, a.usename)
FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid AND l.granted AND l.locktype = 'relation'
JOIN pg_class c ON c.oid = l.relation AND c.relnamespace = to_regnamespace(%s)
WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND a.pid <> pg_backend_pid() LIMIT 3"""

# What a person has discarded stays so: that very version of the document.
DISCARDED = """
UPDATE {to}.quarantine n SET status = 'discarded', closed_at = NULL
FROM {former}.quarantine o
WHERE o.key_1 = n.key_1 AND o.key_2 = n.key_2 AND o.etag = n.etag
  AND o.status = 'discarded' AND n.status = 'open'"""

FORMER = """
UPDATE projector.generations SET state = 'former', fed_until = now() + %(keep)s * interval '1 second'
WHERE id = %(former)s"""

LIVE = """
UPDATE projector.generations SET state = 'live', fed_until = NULL,
  forced = CASE WHEN %(forced)s THEN %(who)s ELSE forced END,
  forced_at = CASE WHEN %(forced)s THEN now() ELSE forced_at END,
  differences = COALESCE(%(report)s, differences)
WHERE id = %(to)s"""

END_REIGN = "UPDATE projector.reigns SET live_until = now() WHERE live_until IS NULL"
BEGIN_REIGN = "INSERT INTO projector.reigns (generation, live_from) VALUES (%(to)s, now())"


class Place(NamedTuple):
    """Where a live range of a generation is."""

    min_epk: str
    max_epk: str
    placed: bool
    lsn: int | None


async def promote(
    connections: Connections,
    number: int,
    *,
    keep_seconds: float,
    who: str,
    report: Mapping[str, Any] | None = None,
    forced: bool = False,
) -> None:
    """Make a generation live that follows the feed; the one that was live is fed for so long.

    Args:
        connections: To the target.
        number: Of the generation.
        keep_seconds: The one that was live can be gone back to for so long.
        who: `user@machine`.
        report: What its comparison with the container has found.
        forced: Although it was not proven equal, and wherever it is.

    Raises:
        RebuildError: It is not one to make live, or something would break; nothing was touched.
        SinkUnavailable: Not now; the line says for what it has to wait.
    """
    async with connections.transaction() as session:
        await session.execute(LOCK)
        to, former = await by_id(session, number), await live(session)
        if to.record.state is not GenerationState.FOLLOWING:
            raise RebuildError(
                f"generation {number} is {to.record.state}: only one that follows the feed can be made live"
            )
        asked = _asked(to, former, keep_seconds=keep_seconds, who=who)
        await _switch(
            session,
            to,
            former,
            {**asked, "forced": forced, "report": report, "keep_columns": False},
        )
        detail = {"from": former.record.id, "forced": forced}
        await timeline.record(session, Kind.REBUILD_PROMOTED, str(number), detail, who)


async def rollback(
    connections: Connections, *, keep_seconds: float, who: str, forced: bool = False
) -> Registered:
    """Make the generation live again that was live last and is still fed; returns it.

    Raises:
        RebuildError: There is none, or something would break; nothing was touched.
        SinkUnavailable: Not now; the line says for what it has to wait.
    """
    async with connections.transaction() as session:
        await session.execute(LOCK)
        to, former = _last_former(await all_records(session)), await live(session)
        asked = _asked(to, former, keep_seconds=keep_seconds, who=who)
        await _switch(
            session, to, former, {**asked, "forced": forced, "report": None, "keep_columns": True}
        )
        number, detail = to.record.id, {"from": former.record.id}
        await timeline.record(session, Kind.REBUILD_ROLLED_BACK, str(number), detail, who)
        return await by_id(session, number)


def _last_former(found: Sequence[GenerationRecord]) -> Registered:
    former = [
        (one.live_until, one)
        for one in found
        if one.state is GenerationState.FORMER and one.live_until is not None
    ]
    if not former:
        raise RebuildError("there is no former generation that is still fed: nothing to go back to")
    return Registered(record=max(former, key=lambda one: one[0])[1])


def _asked(
    to: Registered, former: Registered, *, keep_seconds: float, who: str
) -> Mapping[str, Any]:
    return {"to": to.record.id, "former": former.record.id, "keep": keep_seconds, "who": who}


async def _switch(
    session: Session, to: Registered, former: Registered, asked: Mapping[str, Any]
) -> None:
    """The steps of it; nothing was changed when one of them raises.

    1. No batch of either is in flight until the end. 2. It is nowhere behind. 3. Nobody's snapshot is
    older than it. 4. What was discarded stays so. 5. Views. 6. States and reigns.
    """
    new, old = to.generation, former.generation
    forced = asked["forced"]
    await _stop_batches(session, new, old)
    if not forced:
        behind = why_behind(await _places(session, new), await _places(session, old))
        if behind:
            raise SinkUnavailable(f"generation {new.id} {behind}")
        await _wait_for_snapshots(session, to.record)
    await session.execute(_placed(DISCARDED, new, old).encode())
    await _point(session, to=new, former=old, keep=asked["keep_columns"])
    await session.execute(FORMER, asked)
    report = asked["report"]
    await session.execute(LIVE, {**asked, "report": None if report is None else Jsonb(report)})
    await session.execute(END_REIGN)
    await session.execute(BEGIN_REIGN, asked)
    await read_from_now(session, new)
    await tell(session)


def why_behind(new: Sequence[Place], old: Sequence[Place]) -> str:
    """Where the one generation has not read what the other has; "" when nowhere."""
    keys = [FeedRange(min=one.min_epk, max=one.max_epk) for one in new]
    for one in old:
        told = f"{one.min_epk}-{one.max_epk}"
        if uncovered(FeedRange(min=one.min_epk, max=one.max_epk), keys):
            return f"has not begun to read {told}"
        if one.lsn is None:
            continue
        for other in new:
            if other.min_epk >= one.max_epk or other.max_epk <= one.min_epk:
                continue
            if not other.placed or other.lsn is None or other.lsn < one.lsn:
                at = "nowhere" if other.lsn is None else f"at {other.lsn}"
                return f"is {at} in {told}, and the live one at {one.lsn}"
    return ""


async def _stop_batches(session: Session, new: Generation, old: Generation) -> None:
    await session.execute(f"SET LOCAL lock_timeout = {BATCHES_MILLISECONDS}")
    try:
        await session.execute(_placed(NO_BATCHES, new, old).encode())
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
        raise SinkUnavailable(
            "a batch that is being written takes long", sqlstate=error.sqlstate
        ) from error


async def _places(session: Session, generation: Generation) -> Sequence[Place]:
    cursor = session.cursor(row_factory=class_row(Place))
    await cursor.execute(PLACES.replace("{control}", generation.control).encode())
    return await cursor.fetchall()


async def _wait_for_snapshots(session: Session, record: GenerationRecord) -> None:
    rows = await (await session.execute(OLD_SNAPSHOTS, [record.filled_at])).fetchall()
    if rows:
        told = ", ".join(one for (one,) in rows)
        raise SinkUnavailable(
            f"generation {record.id} is younger than what {told} reads: it would see it half filled"
        )


async def _point(session: Session, *, to: Generation, former: Generation, keep: bool) -> None:
    await session.execute(f"SET LOCAL lock_timeout = {READERS_MILLISECONDS}")
    try:
        async with session.transaction():
            await point_views(session, to=to, former=former, keep=keep)
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
        schema = to.definition.schema
        rows = await (await session.execute(READERS, [schema])).fetchall()
        told = ", ".join(one for (one,) in rows) or "somebody"
        raise SinkUnavailable(
            f"{told} reads a view of {schema} for long", sqlstate=error.sqlstate
        ) from error
    except (psycopg.ProgrammingError, psycopg.errors.DependentObjectsStillExist) as error:
        raise RebuildError(f"nothing was switched: {first_line(error)}") from error


def _placed(text: str, new: Generation, old: Generation) -> str:
    return text.replace("{to}", new.control).replace("{former}", old.control)
