"""Views over two generations at once: which one they show is a row of the registry.

A switch is then the change of that row. Every snapshot sees the one state of it or the other, in all views
alike, and an old one still sees what was live then; nobody waits for readers, and no reader waits. The
server evaluates once per query which generation is live, and does not touch the tables of the other.

Each view is made so by itself, before the switch, which waits for those who read this one view and changes
nothing that anybody sees; and made plain again when one may go back no more, so that going back waits for
nobody. Nobody switches meanwhile, and whoever has planned by another live generation than there is by now
changes no view; the switch itself looks whether views still read what it needs, since somebody else may have
been there in between.

Where the generations make a view alike, the tables in its query are replaced by the live one of them: the
planner flattens that and uses the indexes as if there were one table. Where they do not, the queries are
united: a column that only one has is NULL for the other, a view that only one has is empty for the other, and
whoever asks for the newest sorts.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import psycopg

from projector.core.errors import SinkUnavailable
from projector.postgres.connections import Connections, Session
from projector.postgres.errors import WAITS
from projector.postgres.generation import Generation
from projector.postgres.generations import LOCK
from projector.postgres.pointing import (
    There,
    comment_on,
    copy_grants,
    end_view,
    let_in_to_storage,
    make_routines,
    options_of,
    ordered,
    point_view,
    readers_of,
    stands_on,
    tables_of,
    views_there,
    without_value,
)
from projector.postgres.templates import View, filled
from projector.postgres.views import views_of

WAIT_MILLISECONDS = 2000

LIVE = "(SELECT g.id FROM projector.generations AS g WHERE g.state = 'live')"

# The planner flattens children of one table each, without a condition: that stands above them.
LIVE_TABLE = """(SELECT * FROM ({children}) AS g
  WHERE g.of_generation = {live})"""
CHILD = "SELECT {number} AS of_generation, {columns} FROM {table}"

# Those that all of the tables have.
COLUMNS = """
SELECT a.attname::text FROM unnest(%(tables)s::text[]) AS t(name)
JOIN pg_attribute a ON a.attrelid = to_regclass(t.name) AND a.attnum > 0 AND NOT a.attisdropped
GROUP BY 1 HAVING count(*) = cardinality(%(tables)s::text[]) ORDER BY min(a.attnum), 1"""

READS = """
SELECT v.relname::text, n.nspname || '.' || c.relname FROM pg_class v
JOIN pg_rewrite r ON r.ev_class = v.oid
JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
  AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> v.oid
JOIN pg_class c ON c.oid = d.refobjid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE v.relnamespace = to_regnamespace(%s) AND v.relkind = 'v'"""

SWITCHED = "the generations were switched by somebody else meanwhile"

OTHER_TYPES = (psycopg.errors.InvalidTableDefinition, psycopg.errors.DatatypeMismatch)


async def read_both(
    connections: Connections, *, to: Generation, former: Generation, seen: Sequence[Generation]
) -> bool:
    """Make every view read both; False when a column has another type, so that it cannot.

    What else it reads of those that may be `seen` stays: a snapshot may be of when one of these was live.

    Raises:
        SinkUnavailable: Somebody reads a view for long; those before it are as they shall be.
    """
    schema = to.definition.schema
    new = {view.name: view for view in views_of(to)}
    old = {view.name: view for view in views_of(former)}
    async with connections.transaction() as session:
        await let_in_to_storage(session, to=to, former=former)
        shown = await (await session.execute(LIVE)).fetchone()
        if shown == (former.id,) and await is_both_read(session, to=to, former=former):
            return True
    try:
        for name in dict.fromkeys([*old, *new]):
            async with _one_view(connections, former, name) as session:
                others = await _read_now(session, schema, name, seen)
                sides = _sides([to, former, *others], name)
                await _read_both(session, former, sides, new.get(name) or old[name])
    except _OtherTypeError:
        return False
    return True


async def is_both_read(session: Session, *, to: Generation, former: Generation) -> bool:
    """Whether every view reads both, whatever others have done since `read_both`."""
    reads = await _reads(session, to.definition.schema)
    return all(
        table in reads.get(view.name, set())
        for one in (to, former)
        for view in views_of(one)
        for table in _read_by(one, view)
    )


Sides = Sequence[tuple[Generation, View]]


def _sides(generations: Sequence[Generation], name: str) -> Sides:
    """The generations that have the view, each with its own."""
    found = [(one, view) for one in generations for view in views_of(one) if view.name == name]
    return list({one.id: (one, view) for one, view in found}.values())


async def _read_now(
    session: Session, schema: str, name: str, seen: Sequence[Generation]
) -> Sequence[Generation]:
    """Those of the generations that the view reads."""
    reads = (await _reads(session, schema)).get(name, set())
    return [one for one in seen if reads & set(tables_of(one).values())]


async def _read_both(session: Session, former: Generation, sides: Sides, view: View) -> None:
    schema = former.definition.schema
    needed = {table for one, view in sides for table in _read_by(one, view)}
    there = (await views_there(session, schema)).get(view.name)
    reads = await _reads(session, schema)
    known = set() if there is None else {*there.columns}
    if there is not None and needed <= reads.get(view.name, set()) and known >= {*view.columns}:
        return
    name = f"{schema}.{view.name}"
    query = await _query(session, there, sides, view) if needed else ordered(view, there, keep=True)
    statement = f"CREATE OR REPLACE VIEW {name}{options_of(there)} AS\n{query}"
    await session.execute(statement.encode())
    old = next((side for one, side in sides if one.id == former.id), None)
    await comment_on(session, schema, view, there, old, anew=there is None)
    if there is not None and not known >= {*view.columns}:
        await make_routines(session, former)  # a function of a time has the columns of its view
    if there is None:
        await copy_grants(session, of=f"{schema}.{former.definition.rows}", to=name)


async def _query(session: Session, there: There | None, sides: Sides, view: View) -> str:
    names = {name: name for one, _ in sides for name in tables_of(one)}
    if len({_with_tables(one, side, names) for one, side in sides}) > 1:
        return _union(there, sides, view)
    last, side = sides[-1]
    read = _read_by(last, side)
    live = {
        name: await _live_table(session, sides, name, side.query)
        for name, table in tables_of(last).items()
        if table in read
    }
    return ordered(view._replace(query=_with_tables(last, side, live)), there, keep=True)


def _with_tables(generation: Generation, view: View, instead: Mapping[str, str]) -> str:
    """The query with something else instead of its tables."""
    names = {table: name for name, table in tables_of(generation).items()}
    mention = rf"{_mention(*names)}(\s+AS\s+\w+)?"

    def put(found: re.Match[str]) -> str:
        name = names[found[1]]
        return instead[name] + (found[2] or f' AS "{name}"')

    return re.sub(mention, put, view.query)


def _mention(*tables: str) -> str:
    """Finds a table by its whole name: that of another one may begin alike."""
    return rf"(?<![\w.])({'|'.join(map(re.escape, tables))})(?!\w)"


async def _live_table(session: Session, sides: Sides, name: str, query: str) -> str:
    """That table of the live one of them, with the columns that the query names."""
    tables = {one.id: tables_of(one)[name] for one, _ in sides}
    rows = await (await session.execute(COLUMNS, {"tables": [*tables.values()]})).fetchall()
    named = ", ".join(f'"{one}"' for (one,) in rows if re.search(rf"\b{re.escape(one)}\b", query))
    children = [
        filled(CHILD, number=str(number), columns=named, table=table)
        for number, table in tables.items()
    ]
    return filled(LIVE_TABLE, children="\n  UNION ALL ".join(children), live=LIVE)


def _union(there: There | None, sides: Sides, view: View) -> str:
    # A column that is not there yet has the type of the first one, which brings it.
    types = {} if there is None else dict(zip(there.columns, there.types, strict=True))
    columns = [*types, *(one for one in view.columns if one not in types)]

    def cell(column: str, side: View) -> str:
        if column in side.columns:
            return column
        return without_value(column, types[column]) if column in types else f"NULL AS {column}"

    return "\nUNION ALL\n".join(
        f"SELECT {', '.join(cell(column, side) for column in columns)}\n"
        f"FROM ({side.query.strip()}) AS v\nWHERE {LIVE} = {generation.id}"
        for generation, side in sides
    )


async def read_no_longer(
    connections: Connections,
    ended: Generation,
    *,
    live: Generation,
    kept: Sequence[Generation] = (),
) -> None:
    """Make the views read that generation no longer; plain, where but the live one is left.

    `kept`: others that they may go on reading: a snapshot may be of when one of these was live.

    Raises:
        SinkUnavailable: Somebody reads a view for long; those before it are as they shall be.
    """
    schema = live.definition.schema
    gone = set(tables_of(ended).values())
    views = {view.name: view for view in views_of(live)}
    async with connections.session() as session:
        reads = await _reads(session, schema)
    for name in (name for name, tables in reads.items() if tables & gone):
        async with _one_view(connections, live, name) as session:
            there = (await views_there(session, schema))[name]
            keep = bool(await stands_on(session, there))
            left = [
                one for one in await _read_now(session, schema, name, kept) if one.id != ended.id
            ]
            if any(one.id != live.id for one in left):
                sides = _sides([*left, live], name)
                query = await _query(session, there, sides, sides[-1][1])
                text = f"CREATE OR REPLACE VIEW {schema}.{name}{options_of(there)} AS\n{query}"
                await session.execute(text.encode())
            elif name in views:
                anew = await point_view(session, schema, views[name], there, keep=keep)
                await comment_on(session, schema, views[name], there, views[name], anew=anew)
            else:
                await end_view(session, schema, there, keep=keep)


def _read_by(generation: Generation, view: View) -> set[str]:
    return {
        table for table in tables_of(generation).values() if re.search(_mention(table), view.query)
    }


async def _reads(session: Session, schema: str) -> Mapping[str, set[str]]:
    found: dict[str, set[str]] = {}
    for view, table in await (await session.execute(READS, [schema])).fetchall():
        found.setdefault(view, set()).add(table)
    return found


class _OtherTypeError(Exception):
    """A column of the view has another type in the other generation."""


@asynccontextmanager
async def _one_view(
    connections: Connections, live: Generation, name: str
) -> AsyncIterator[Session]:
    """A transaction that holds one view at most, and waits for it not for long, while `live` is the live one."""
    schema = live.definition.schema
    async with connections.session() as session:
        try:
            async with session.transaction():
                await session.execute(f"SET LOCAL lock_timeout = {WAIT_MILLISECONDS}")
                await session.execute(LOCK)
                if await (await session.execute(LIVE)).fetchone() != (live.id,):
                    raise SinkUnavailable(SWITCHED)
                yield session
        except WAITS as error:
            told = await readers_of(session, schema)
            raise SinkUnavailable(
                f"{told} reads {schema}.{name} for long", sqlstate=error.sqlstate
            ) from error
        except OTHER_TYPES as error:
            raise _OtherTypeError from error
