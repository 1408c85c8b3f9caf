"""Makes a generation live, forwards and back: a row of the registry, states and reigns in one transaction.

The one that was live stands still until the other has read as far, so whoever reads sees no change taken
back, however many ranges there are and whatever is written meanwhile. Both are fed by their own positions
before and after; nothing of a batch has to know. Views read both by then (`both_views`), and every snapshot
shows one of them. Where a column changes its type they cannot: then all views are replaced in the switch
itself, which waits for readers, and for snapshots that are older than the generation.

Nothing is waited for longer than some seconds: the caller tries again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg
from psycopg.types.json import Jsonb

from projector.core.errors import RebuildError, SinkUnavailable
from projector.core.ranges import FeedRange, uncovered
from projector.ports.generations import GenerationRecord, GenerationState
from projector.ports.timeline import Kind
from projector.postgres import both_views, timeline
from projector.postgres.connections import Connections, Session, all_rows
from projector.postgres.errors import WAITS, first_line
from projector.postgres.generation import Generation
from projector.postgres.generations import (
    LOCK,
    SEEN,
    Registered,
    all_records,
    by_id,
    generation_of,
    live,
    tell,
)
from projector.postgres.pointing import point_functions, point_views, readers_of, would_break
from projector.postgres.recording import read_from_now
from projector.projection.definition import Definition

BATCHES_MILLISECONDS = 2000

CATCH_UP_SECONDS = 5.0
LOOK_SECONDS = 0.05

# Batches move a position; whoever looks at positions is not kept from it.
NO_BATCHES = "LOCK TABLE {control}.ranges IN SHARE ROW EXCLUSIVE MODE"

POSITIONS = """
SELECT r.min_epk, r.max_epk, r.placed, r.lsn FROM {control}.ranges r
WHERE r.retired_at IS NULL AND r.container_rid = (SELECT container_rid FROM projector.source)
ORDER BY r.min_epk"""

# Since when others' transactions run is told only to who may monitor the server; how old their snapshots are,
# to everybody: no younger than what the registry says of the generation is then too old. Nor what kind they
# are; who works for no user (autovacuum) looks at no view.
OLD_SNAPSHOTS = """
SELECT format('pid %%s (user %%s%%s)', a.pid, a.usename,
  ', since ' || to_char(a.xact_start, 'YYYY-MM-DD HH24:MI:SSOF'))
FROM pg_stat_activity a CROSS JOIN projector.generations g
WHERE g.id = %(id)s AND a.datname = current_database() AND a.pid <> pg_backend_pid()
  AND a.backend_xmin IS NOT NULL AND COALESCE(a.backend_type, 'client backend') = 'client backend'
  AND a.usesysid IS NOT NULL
  AND CASE WHEN a.xact_start IS NULL THEN age(a.backend_xmin) >= age(g.xmin)
    ELSE a.xact_start <= g.filled_at END
ORDER BY a.xact_start LIMIT 3"""

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


class RangePosition(NamedTuple):
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
    async with connections.session() as session:
        to, former = await by_id(session, number), await live(session)
    if to.record.state is not GenerationState.FOLLOWING:
        raise RebuildError(
            f"generation {number} is {to.record.state}: only one that follows the feed can be made live"
        )
    if not forced and to.record.definition != former.record.definition:
        await _refuse_to_break(connections, to.record.definition)
    switch = _Switch(to=to, former=former, keep_seconds=keep_seconds, who=who, forced=forced)
    kind = Kind.REBUILD_PROMOTED
    await switch.run(connections, kind, report=report, expected=GenerationState.FOLLOWING)


async def rollback(
    connections: Connections,
    *,
    keep_seconds: float,
    who: str,
    forced: bool = False,
    number: int | None = None,
) -> Registered:
    """Make the generation live again that was live last and is still fed; returns it.

    `number`: which one is meant. Once it is live, by whomever, nothing is done: who tries again because he
    was not told of the first success must not go forward again by it.

    Raises:
        RebuildError: There is none, or another one by now, or something would break; nothing was touched.
        SinkUnavailable: Not now; the line says for what it has to wait.
    """
    async with connections.session() as session:
        found, former = await all_records(session), await live(session)
    if former.record.id == number:
        return former
    to = _last_former(found)
    if number not in {None, to.record.id}:
        raise RebuildError(
            f"nothing was switched: one would go back to generation {to.record.id} by now, not to {number}"
        )
    switch = _Switch(to=to, former=former, keep_seconds=keep_seconds, who=who, forced=forced)
    kind = Kind.REBUILD_ROLLED_BACK
    await switch.run(connections, kind, report=None, expected=GenerationState.FORMER)
    async with connections.session() as session:
        return await by_id(session, to.record.id)


async def _refuse_to_break(connections: Connections, definition: Definition) -> None:
    broken = await would_break(connections, definition)
    if broken:
        raise RebuildError(f"nothing was switched, because it would break: {'; '.join(broken)}")


def _last_former(found: Sequence[GenerationRecord]) -> Registered:
    former = [
        (one.live_until, one)
        for one in found
        if one.state is GenerationState.FORMER and one.live_until is not None
    ]
    if not former:
        raise RebuildError("there is no former generation that is still fed: nothing to go back to")
    return Registered(record=max(former, key=lambda one: one[0])[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Switch:
    """From one generation to another."""

    to: Registered
    former: Registered
    keep_seconds: float
    who: str
    forced: bool

    async def run(
        self,
        connections: Connections,
        kind: Kind,
        *,
        report: Mapping[str, Any] | None,
        expected: GenerationState,
    ) -> None:
        """Make views that read both, each by itself; then the switch, in one transaction."""
        new, old = self.to.generation, self.former.generation
        async with connections.session() as session:
            others = [generation_of(one) for one in await all_records(session) if one.state in SEEN]
        read_both = await both_views.read_both(connections, to=new, former=old, seen=others)
        async with connections.transaction() as session:
            await session.execute(LOCK)
            number = self.to.record.id
            states = (await by_id(session, number)).record.state, (await live(session)).record.id
            if states != (expected, self.former.record.id):
                raise SinkUnavailable(both_views.SWITCHED)
            if read_both and not await both_views.is_both_read(session, to=new, former=old):
                raise SinkUnavailable("the views were made to read something else meanwhile")
            await self._steps(session, read_both=read_both, report=report)
            detail = {"from": self.former.record.id, "forced": self.forced}
            await timeline.record(session, kind, str(number), detail, self.who)

    async def _steps(
        self, session: Session, *, read_both: bool, report: Mapping[str, Any] | None
    ) -> None:
        """Nothing was changed when one of them raises.

        1. No batch of the live one is in flight until the end. 2. The other is nowhere behind, or soon no
        longer. 3. No batch of it is in flight either. 4. What was discarded stays so. 5. Functions, and
        views that could not be made before. 6. States and reigns: views show it from here on.
        """
        new, old = self.to.generation, self.former.generation
        if not self.forced and not read_both:
            await _wait_for_snapshots(session, self.to.record)
        await _stop_batches(session, old)
        if not self.forced:
            await _catch_up(session, new, old)
        await _stop_batches(session, new)
        await session.execute(_placed(DISCARDED, new, old).encode())
        if read_both:
            await point_functions(session, to=new, former=old)
        else:
            await _point(session, to=new, former=old)
        asked = {
            "to": self.to.record.id,
            "former": self.former.record.id,
            "keep": self.keep_seconds,
            "who": self.who,
            "forced": self.forced,
            "report": None if report is None else Jsonb(report),
        }
        for statement in (FORMER, LIVE, END_REIGN, BEGIN_REIGN):
            await session.execute(statement, asked)
        await read_from_now(session, new)
        await tell(session)


def why_behind(new: Sequence[RangePosition], old: Sequence[RangePosition]) -> str:
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


async def _catch_up(session: Session, new: Generation, old: Generation) -> None:
    """Return when the new one is nowhere behind the old one, which stands still."""
    clock = asyncio.get_running_loop().time
    until = clock() + CATCH_UP_SECONDS
    while behind := why_behind(await _positions(session, new), await _positions(session, old)):
        if clock() >= until:
            raise SinkUnavailable(f"generation {new.id} {behind}")
        await asyncio.sleep(LOOK_SECONDS)


async def _stop_batches(session: Session, generation: Generation) -> None:
    await session.execute(f"SET LOCAL lock_timeout = {BATCHES_MILLISECONDS}")
    try:
        statement = NO_BATCHES.replace("{control}", generation.control)
        await session.execute(statement.encode())
    except WAITS as error:
        raise SinkUnavailable(
            "a batch that is being written takes long", sqlstate=error.sqlstate
        ) from error


async def _positions(session: Session, generation: Generation) -> Sequence[RangePosition]:
    return await all_rows(
        session, RangePosition, POSITIONS.replace("{control}", generation.control)
    )


async def _wait_for_snapshots(session: Session, record: GenerationRecord) -> None:
    rows = await (await session.execute(OLD_SNAPSHOTS, {"id": record.id})).fetchall()
    if rows:
        told = ", ".join(one for (one,) in rows)
        raise SinkUnavailable(
            f"generation {record.id} is younger than what {told} reads: it would see it half filled"
        )


async def _point(session: Session, *, to: Generation, former: Generation) -> None:
    try:
        async with session.transaction():
            await point_views(session, to=to, former=former)
    except WAITS as error:
        told = await readers_of(session, to.definition.schema)
        raise SinkUnavailable(f"{told} reads a view for long", sqlstate=error.sqlstate) from error
    except (psycopg.ProgrammingError, psycopg.errors.DependentObjectsStillExist) as error:
        raise RebuildError(f"nothing was switched: {first_line(error)}") from error


def _placed(text: str, new: Generation, old: Generation) -> str:
    return text.replace("{to}", new.control).replace("{former}", old.control)
