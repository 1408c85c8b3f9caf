"""The registry of generations: which there are, which are fed, which one the views read.

A generation is made, followed and given up here; `switching` makes one live, `retiring` drops tables. Each
change is one transaction, told to the hosts as it commits. At most one is live and at most one is being
made: unique indexes decide, whoever asks at the same time. Tables bear numbers that are never given twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb

from projector.core.errors import ConfigurationError, RebuildError, SchemaMismatch
from projector.core.lease import Lease
from projector.ports.filling import NotLoaded
from projector.ports.generations import FED, FillSource, GenerationRecord, GenerationState
from projector.ports.timeline import Kind
from projector.postgres import timeline
from projector.postgres.connections import Connections, Session
from projector.postgres.fill_parts import cut_parts
from projector.postgres.generation import Generation
from projector.postgres.properties import SEARCH_PATH, looking_in
from projector.postgres.recording import begin_unread
from projector.postgres.tables import plain_statements, table_statements
from projector.projection.definition import Definition
from projector.projection.definition_text import (
    definition_from_json,
    definition_hash,
    definition_to_json,
)

CHANNEL = "projector_generations"
"""Notified with every change."""

PATIENCE_SECONDS = 10.0

ONE_REBUILD = "generations_one_rebuild"

# No driver's time is so old that a reign could have begun then.
RECORDS = """
SELECT g.id, g.schema_name AS schema, g.control_schema AS control, g.definition, g.definition_hash,
  COALESCE(g.processor_name, '') AS processor_name, g.state, COALESCE(g.source, 'feed') AS source,
  COALESCE(g.who, '') AS who, g.why, g.created_at, g.filled_at, NULLIF(r.live_from, '-infinity') AS live_from,
  r.live_until, g.fed_until, g.ended_at, g.documents, g.request_units, g.verified_at, g.differences,
  g.forced, g.forced_at
FROM projector.generations g
LEFT JOIN LATERAL (SELECT live_from, live_until FROM projector.reigns
  WHERE generation = g.id ORDER BY reigns.live_from DESC LIMIT 1) r ON true
ORDER BY g.id DESC"""

INSERT = """
INSERT INTO projector.generations (id, schema_name, control_schema, definition, definition_hash,
  processor_name, state, source, who, why, created_at, filled_at)
SELECT n.id, 'projector_g' || n.id, 'projector_g' || n.id, %(definition)s, %(hash)s,
  %(processor)s::text || '@g' || n.id, %(state)s, %(source)s, %(who)s, %(why)s, now(),
  CASE WHEN %(state)s = 'following' THEN now() END
FROM (SELECT max(id) + 1 AS id FROM projector.generations) n
RETURNING id"""

FOLLOWS = """
UPDATE projector.generations SET state = 'following', filled_at = now(),
  documents = %(documents)s, request_units = %(request_units)s
WHERE id = %(id)s AND state = 'filling' AND EXISTS (SELECT FROM ranges)"""

IS_FILLED = "SELECT 1 FROM projector.generations WHERE id = %s AND state = 'filling'"

VERIFIED = """
UPDATE projector.generations SET verified_at = now(), differences = %(report)s WHERE id = %(id)s"""

ABORT = """
UPDATE projector.generations SET state = 'aborted', ended_at = now()
WHERE id = %(id)s AND state IN ('filling', 'following')"""

ABORT_FILLING = """
UPDATE projector.generations SET state = 'aborted', ended_at = now()
WHERE state = 'filling' RETURNING id"""

# One change at a time, whoever reads meanwhile; whoever waits here has locked nothing else.
LOCK = "LOCK TABLE projector.generations IN SHARE ROW EXCLUSIVE MODE"


# A column that is new to the log of all generations locks it: behind whoever waits for long, batches queue.
NO_QUEUE = "SET LOCAL lock_timeout = 1000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A generation as the registry has it, and as statements are made for it."""

    record: GenerationRecord

    @property
    def generation(self) -> Generation:
        """Where its tables are."""
        return generation_of(self.record)


def generation_of(record: GenerationRecord) -> Generation:
    """What statements need of it."""
    return Generation(
        definition=record.definition, schema=record.schema, control=record.control, id=record.id
    )


async def records(connections: Connections) -> Sequence[GenerationRecord]:
    """All that this program understands, newest first.

    Raises:
        SinkUnavailable.
        SchemaMismatch: The live one was made by a newer program, which knows more.
    """
    async with connections.session() as session:
        return await all_records(session)


async def all_records(session: Session) -> Sequence[GenerationRecord]:
    """The same, read by this session."""
    cursor = session.cursor(row_factory=dict_row)
    await cursor.execute(RECORDS)
    found = [_record(row) for row in await cursor.fetchall()]
    return [one for one in found if one is not None]


async def live(session: Session) -> Registered:
    """The generation that the views read.

    Raises:
        SchemaMismatch: It was made by a newer program, or there is none.
    """
    for one in await all_records(session):
        if one.state is GenerationState.LIVE:
            return Registered(record=one)
    raise SchemaMismatch("no generation is live: projector.generations was changed by hand")


SEEN = (*FED, GenerationState.RETIRED)
"""A snapshot may be of when it was live, for as long as its tables are there."""


async def fed(session: Session) -> Sequence[Registered]:
    """Those that hosts read the feed for, the live one first."""
    found = [one for one in await all_records(session) if one.state in FED]
    found.sort(key=lambda one: (one.state is not GenerationState.LIVE, one.id))
    return [Registered(record=one) for one in found]


async def create(
    connections: Connections,
    definition: Definition,
    *,
    who: str,
    why: str | None,
    source: FillSource,
    processor_name: str,
    state: GenerationState = GenerationState.FILLING,
    parts: Sequence[Lease] = (),
) -> Registered:
    """Make a generation, empty; nobody reads it yet.

    Args:
        connections: To the target.
        definition: What it is to be a filling of.
        who: `user@machine`.
        why: In a person's words.
        source: Where its first load comes from.
        processor_name: Of the hosts; its leases bear the generation beside it.
        parts: Of its first load, cut already; none: whoever fills it cuts the container.
        state: FOLLOWING when hosts shall read it from the beginning, in the usual way.

    Raises:
        RebuildError: Another one is being made.
        ConfigurationError: A right is missing.
    """
    asked = {
        "definition": Jsonb(definition_to_json(definition), dumps=str),
        "hash": definition_hash(definition),
        "processor": processor_name,
        "state": state,
        "source": source,
        "who": who,
        "why": why,
    }
    async with connections.transaction() as session:
        await session.execute(LOCK)
        number = await _registered(session, asked)
        made = await by_id(session, number)
        await session.execute(NO_QUEUE)
        tables = plain_statements if state is GenerationState.FILLING else table_statements
        for statement in tables(made.generation):
            await _make(session, statement)
        await cut_parts(session, parts, table=f"{made.generation.control}.fill_parts")
        detail = {"source": source, "why": why or ""}
        await timeline.record(session, Kind.REBUILD_STARTED, str(number), detail, who)
        await tell(session)
        return made


async def _registered(session: Session, asked: Mapping[str, Any]) -> int:
    try:
        row = await (await session.execute(INSERT, asked)).fetchone()
    except psycopg.errors.UniqueViolation as error:
        if error.diag.constraint_name != ONE_REBUILD:
            raise
        raise RebuildError(
            "another generation is being made already: see projector rebuild status,"
            " or give it up: projector rebuild abort"
        ) from error
    if row is None:  # pragma: no cover - an INSERT of one row returns it
        raise RebuildError("the generation was not registered")
    return int(row[0])


async def _make(session: Session, statement: str) -> None:
    try:
        await session.execute(statement.encode())
    except psycopg.errors.InsufficientPrivilege as error:
        user, database = session.info.user, session.info.dbname
        raise ConfigurationError(
            f"{user} may not make a schema for a new generation:"
            f' GRANT CREATE ON DATABASE "{database}" TO "{user}"'
        ) from error
    except psycopg.errors.LockNotAvailable as error:
        raise RebuildError(
            "nothing was begun: somebody reads the history for long, and its new columns would wait with all"
            " batches behind him: try again"
        ) from error


async def by_id(session: Session, number: int) -> Registered:
    """One generation.

    Raises:
        RebuildError: There is none of that number.
    """
    for one in await all_records(session):
        if one.id == number:
            return Registered(record=one)
    raise RebuildError(f"there is no generation {number}: see projector rebuild list")


async def mark_following(
    session: Session, number: int, *, documents: int | None, request_units: float | None
) -> bool:
    """It is loaded and hosts follow the feed for it from here; False when it was given up meanwhile.

    The session works for that generation. Raises NotLoaded: what was finished is not there any more.
    """
    asked = {"id": number, "documents": documents, "request_units": request_units}
    cursor = await session.execute(FOLLOWS, asked)
    if cursor.rowcount == 1:
        followed = await by_id(session, number)
        await begin_unread(session, followed.generation, found=documents)
    elif await (await session.execute(IS_FILLED, [number])).fetchone() is not None:
        raise NotLoaded
    await tell(session)
    return cursor.rowcount == 1


async def note_verified(connections: Connections, number: int, report: Mapping[str, Any]) -> None:
    """Keep the outcome of its last comparison with the container."""
    async with connections.session() as session:
        await session.execute(VERIFIED, {"id": number, "report": Jsonb(report)})


async def abort(connections: Connections, number: int, *, who: str) -> None:
    """Give up a generation that is being made; its tables are dropped by `retiring`.

    Raises:
        RebuildError: It is not being made.
    """
    async with connections.transaction() as session:
        await session.execute(LOCK)
        found = await by_id(session, number)
        if (await session.execute(ABORT, {"id": number})).rowcount != 1:
            raise RebuildError(
                f"generation {number} is {found.record.state}: only one that is being made can be given up"
            )
        await timeline.record(session, Kind.REBUILD_ABORTED, str(number), {}, who)
        await tell(session)


async def wait_for_change(
    connections: Connections, seen: Sequence[Registered], *, seconds: float
) -> None:
    """Return when other generations are fed than these, or after so long: behind a pooler nobody is told.

    Listens first and asks then, so that nothing is missed between. Raises SinkUnavailable.
    """
    async with connections.session(seconds=seconds + PATIENCE_SECONDS) as session:
        try:
            await session.execute(f"LISTEN {CHANNEL}")
            if _states(await fed(session)) == _states(seen):
                async for _ in session.notifies(timeout=seconds, stop_after=1):
                    pass
            await session.execute(f"UNLISTEN {CHANNEL}")
        except asyncio.CancelledError:
            await session.close()  # whoever gets it next would be told
            raise


def _states(of: Sequence[Registered]) -> Sequence[tuple[int, GenerationState]]:
    return [(one.record.id, one.record.state) for one in of]


async def each_fed(session: Session) -> AsyncIterator[Registered]:
    """In a transaction: the session works for one generation that is fed after the other."""
    row = await (await session.execute("SELECT current_setting('search_path')")).fetchone()
    for one in await fed(session):
        path = looking_in(one.record.control)
        await session.execute(f"SET LOCAL search_path = {path}".encode())
        yield one
    before = SEARCH_PATH if row is None else row[0]
    await session.execute(f"SET LOCAL search_path = {before}".encode())


async def abort_filling(session: Session, *, who: str) -> None:
    """Give up a first load whose documents are not those that are meant from now on."""
    for (number,) in await (await session.execute(ABORT_FILLING)).fetchall():
        await timeline.record(session, Kind.REBUILD_ABORTED, str(number), {}, who)
    await tell(session)


async def tell(session: Session) -> None:
    """Let hosts look at the registry once this transaction has committed."""
    await session.execute("SELECT pg_notify(%s, '')", [CHANNEL])


def _record(row: DictRow) -> GenerationRecord | None:
    """None for one that only a newer program understands, unless it is live."""
    try:
        definition = definition_from_json(row["definition"])
    except ValueError as error:
        if row["state"] != GenerationState.LIVE:
            return None
        raise SchemaMismatch(
            f"live generation {row['id']} was made by a newer program ({error}): install that"
        ) from error
    return GenerationRecord(
        **{
            **row,
            "definition": definition,
            "state": GenerationState(row["state"]),
            "source": FillSource(row["source"]),
        }
    )
