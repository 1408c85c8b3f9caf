"""Ends generations: a former one when its time is over, and drops what nobody is fed or reads any more.

Only what we made is dropped, one thing at a time and never by CASCADE: what a person built on it stays, with
what it stands on, and is named. The control tables of the first generation stay where the migrations made
them, empty.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import psycopg

from projector.ports.generations import GenerationRecord, GenerationState
from projector.postgres.both_views import read_no_longer
from projector.postgres.connections import Connections, Session
from projector.postgres.errors import first_line
from projector.postgres.generation import Generation
from projector.postgres.generations import LOCK, SEEN, all_records, generation_of, live, tell
from projector.postgres.tables import plain_statements, table_statements
from projector.projection.definition import CONTROL_TABLES

LOCK_MILLISECONDS = 500
ENDED = (GenerationState.RETIRED, GenerationState.ABORTED)

RETIRE = """
UPDATE projector.generations SET state = 'retired', ended_at = now()
WHERE state = 'former' AND fed_until <= now() RETURNING id"""

# A snapshot that does not see the transaction of the switch is no younger than it. The server tells everybody
# how old others' snapshots are, also those of its standbys, and to no role more than that has to be granted.
# Who works for no user (autovacuum) looks at no view.
OLD_SNAPSHOTS = """
WITH switched AS (SELECT age(xmin) AS age FROM projector.reigns WHERE live_until IS NULL)
SELECT format('pid %s (user %s)', a.pid, a.usename) FROM pg_stat_activity a, switched s
WHERE (a.datname = current_database() OR a.datname IS NULL) AND a.pid <> pg_backend_pid()
  AND a.usesysid IS NOT NULL AND a.backend_xmin IS NOT NULL AND age(a.backend_xmin) >= s.age
UNION ALL
SELECT format('replication slot %s', r.slot_name) FROM pg_replication_slots r, switched s
WHERE r.active AND r.xmin IS NOT NULL AND age(r.xmin) >= s.age
LIMIT 3"""

SCHEMA_IS_THERE = "SELECT to_regnamespace(%s) IS NOT NULL"
TABLE_IS_THERE = "SELECT to_regclass(%s) IS NOT NULL"

PUBLISHED = """
SELECT p.pubname::text FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
WHERE r.prrelid = to_regclass(%s)"""

MADE = re.compile(r"^CREATE (TABLE|FUNCTION) (\S+?)(?=\s|\()", re.MULTILINE)


async def retire(connections: Connections) -> Sequence[int]:
    """Feed former generations no longer whose time is over; returns which."""
    async with connections.transaction() as session:
        await session.execute(LOCK)
        ended = [int(number) for (number,) in await (await session.execute(RETIRE)).fetchall()]
        if ended:
            await tell(session)
    return ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A generation whose tables were there; `left`: what had to stay, and why, a line each."""

    record: GenerationRecord
    left: Sequence[str]
    whole: bool = False
    """Whether all of it is left."""


async def drop_ended(connections: Connections) -> Sequence[Dropped]:
    """Drop the tables of generations that are retired or aborted; returns those that had some.

    One that was live stays until nobody's snapshot is of before the last switch: that may look at it yet.
    """
    async with connections.session() as session:
        older = [who for (who,) in await (await session.execute(OLD_SNAPSHOTS)).fetchall()]
        ended = [one for one in await all_records(session) if one.state in ENDED]
        there = [one for one in ended if await _is(session, SCHEMA_IS_THERE, one.schema)]
    dropped = []
    for one in there:
        if older and one.state is GenerationState.RETIRED:
            told = f"all of it: {', '.join(older)} may look at it, since before the last switch"
            dropped.append(Dropped(record=one, left=[told], whole=True))
        else:
            dropped.append(Dropped(record=one, left=await drop(connections, one)))
    return dropped


async def drop(connections: Connections, record: GenerationRecord) -> Sequence[str]:
    """Drop what was made for a generation that has ended; returns what had to stay, and why.

    Raises:
        SinkUnavailable: Somebody holds a table for long; nothing was dropped.
    """
    generation = generation_of(record)
    async with connections.session() as session:
        now = (await live(session)).generation
        seen = [generation_of(one) for one in await all_records(session) if one.state in SEEN]
    await read_no_longer(connections, generation, live=now, kept=seen)
    async with connections.transaction() as session:
        await session.execute(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}")
        left = [told async for told in _dropped(session, generation)]
        if generation.control != generation.schema:
            await _emptied(session, generation)
    return left


async def _dropped(session: Session, generation: Generation) -> AsyncIterator[str]:
    """Drop all of it, last made first; tells what stays."""
    texts = (*plain_statements(generation), *table_statements(generation))
    made = dict.fromkeys(one for text in texts for one in MADE.findall(text))
    for kind in ("TABLE", "FUNCTION"):
        for name in reversed([name for of, name in made if of == kind]):
            published = await (await session.execute(PUBLISHED, [name])).fetchall()
            if published:
                yield f"{name} is in publication {published[0][0]}"
            elif told := await _refused(session, f"DROP {kind} IF EXISTS {name}"):
                yield told
    if told := await _refused(session, f"DROP SCHEMA {generation.schema}"):
        yield told


async def _refused(session: Session, statement: str) -> str:
    """Why the server does not drop it, "" once it has."""
    try:
        async with session.transaction():
            await session.execute(statement.encode())
    except psycopg.errors.DependentObjectsStillExist as error:
        return f"{first_line(error)}: {(error.diag.message_detail or '').splitlines()[0]}"
    return ""


async def _emptied(session: Session, generation: Generation) -> None:
    names = [f"{generation.control}.{name}" for name in CONTROL_TABLES]
    there = [name for name in names if await _is(session, TABLE_IS_THERE, name)]
    await session.execute(f"TRUNCATE {', '.join(there)}".encode())


async def _is(session: Session, question: str, name: str) -> bool:
    row = await (await session.execute(question, [name])).fetchone()
    return row is not None and bool(row[0])
