"""Points the views at another generation, and tells beforehand what that would break.

A view is replaced where it stands, so that it keeps its grants, its dependants, its options and what people
wrote about it. PostgreSQL replaces a view only by one that begins with the same columns: they keep their
order, and new ones come last. A column that goes, or changes its type, takes the view with it: that is done
only where nothing stands on the view, and its grants are given again. Nothing is ever dropped by CASCADE.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from secrets import token_hex

import psycopg

from projector.core.errors import RebuildError
from projector.postgres.connections import Connections, Session, all_rows
from projector.postgres.freshness import function_statements
from projector.postgres.generation import Generation, quoted
from projector.postgres.generations import NO_QUEUE
from projector.postgres.history import other_types_in_log
from projector.postgres.past import routine_statements
from projector.postgres.tables import table_statements
from projector.postgres.templates import View
from projector.postgres.views import reader_statement, views_of
from projector.projection.definition import Definition

THERE = """
SELECT c.relname::text AS name, c.oid::bigint AS oid,
  COALESCE(array_to_string(c.reloptions, ', '), '') AS options,
  array_agg(a.attname::text ORDER BY a.attnum) AS columns,
  array_agg(format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attcollation = t.typcollation THEN ''
    ELSE format(' COLLATE %%I.%%I', l.collnamespace::regnamespace, l.collname) END ORDER BY a.attnum) AS types
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_collation l ON l.oid = a.attcollation
WHERE c.relnamespace = to_regnamespace(%s) AND c.relkind = 'v'
GROUP BY c.oid ORDER BY 1"""

COMMENTS = """
SELECT c.relname::text, COALESCE(a.attname::text, ''), d.description FROM pg_description d
JOIN pg_class c ON c.oid = d.objoid AND d.classoid = 'pg_class'::regclass AND c.relkind = 'v'
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND a.attnum > 0
WHERE c.relnamespace = to_regnamespace(%s)"""

READERS = """
SELECT DISTINCT format('pid %%s (user %%s)', a.pid, a.usename)
FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid AND l.granted AND l.locktype = 'relation'
JOIN pg_class c ON c.oid = l.relation AND c.relnamespace = to_regnamespace(%s)
WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND a.pid <> pg_backend_pid() LIMIT 3"""

# What falls, or stands in the way, when the view is dropped: of its own rule and type nobody knows, and its
# function of a time goes and comes with it.
DEPENDANTS = """
SELECT DISTINCT CASE WHEN r.ev_class IS NULL OR r.ev_class = v.oid
    THEN pg_describe_object(d.classid, d.objid, 0)
  ELSE CASE e.relkind WHEN 'm' THEN 'materialized view ' ELSE 'view ' END || n.nspname || '.' || e.relname
  END AS told
FROM pg_class v
JOIN pg_type t ON t.oid = v.reltype
JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = v.oid
  OR d.refclassid = 'pg_type'::regclass AND d.refobjid IN (t.oid, t.typarray)
LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
LEFT JOIN pg_class e ON e.oid = r.ev_class
LEFT JOIN pg_namespace n ON n.oid = e.relnamespace
WHERE v.oid = %s::bigint::oid AND d.deptype IN ('n', 'a') AND NOT (d.classid = 'pg_proc'::regclass
    AND d.objid = to_regprocedure(format('%%I.%%I(timestamptz)', v.relnamespace::regnamespace, v.relname || '_as_of')))
  AND NOT (r.ev_class = v.oid AND r.rulename = '_RETURN')
ORDER BY 1"""

# What people may do with one table, or with its columns, as statements that let them do it with another.
GRANTS = """
SELECT format('GRANT %%s%%s ON %%s TO %%s%%s', x.privilege_type, of_column, %(to)s::text,
  CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END,
  CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM pg_class c CROSS JOIN LATERAL (
  SELECT '' AS of_column, c.relacl AS acl
  UNION ALL SELECT format(' (%%I)', a.attname), a.attacl FROM pg_attribute a
  WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.attacl IS NOT NULL
    AND a.attname::text = ANY(%(columns)s::text[])) g
CROSS JOIN LATERAL aclexplode(g.acl) x
WHERE c.oid = to_regclass(%(of)s) AND x.grantee <> c.relowner
  AND (%(only)s::text IS NULL OR x.privilege_type = %(only)s)"""

SCHEMA_GRANTS = """
SELECT format('GRANT USAGE ON SCHEMA %%s TO %%s', %(to)s::text,
  CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END)
FROM pg_namespace n CROSS JOIN LATERAL aclexplode(n.nspacl) x
WHERE n.oid = to_regnamespace(%(of)s) AND x.grantee <> n.nspowner AND x.privilege_type = 'USAGE'"""

REGISTRY = "projector.generations"
CANNOT_BE_REPLACED = "42P16"
FIRST_SECONDS = 2.0
OTHERS_SECONDS = 0.7
"""Below `deadlock_timeout`, which is a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class There:
    """A view as it is; `types` of its columns, each with its collation where it has another one."""

    name: str
    oid: int
    options: str
    columns: list[str]
    types: list[str]
    comments: dict[str, str] = field(default_factory=dict)


async def point_views(session: Session, *, to: Generation, former: Generation) -> None:
    """Make every view read `to` and nothing else, in the transaction of this session.

    Raises:
        RebuildError: Something stands on a view that would have to go.
        psycopg.errors.LockNotAvailable: Somebody reads one for longer than the lock timeout.
    """
    schema = to.definition.schema
    there = await views_there(session, schema)
    told = {view.name: view for view in views_of(former)}
    views, patience = views_of(to), _Patience(session)
    for name in sorted(told.keys() - {view.name for view in views}):
        if name in there:
            await patience.for_the_next()
            await end_view(session, schema, there[name], keep=False)
    for view in views:
        await patience.for_the_next()
        old = there.get(view.name)
        anew = await point_view(session, schema, view, old, keep=False)
        await comment_on(session, schema, view, old, told.get(view.name), anew=anew)
        if view.name not in there:
            rows = f"{schema}.{former.definition.rows}"
            await copy_grants(session, of=rows, to=f"{schema}.{view.name}")
    await point_functions(session, to=to, former=former)


async def point_functions(session: Session, *, to: Generation, former: Generation) -> None:
    """Make what readers may call read `to`, and let in to its tables whoever was let in to the former's."""
    await make_routines(session, to)
    await session.execute(reader_statement(to.definition).encode())
    await let_in_to_storage(session, to=to, former=former)


class _Patience:
    """How long readers are waited for.

    Who waits for the first view holds no other, so it may take a while. From then on a reader may hold
    what we want and want what we hold, and after a second the server would end one of us: we give up first.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._clock = asyncio.get_running_loop().time
        self._views = 0
        self._until = 0.0

    async def for_the_next(self) -> None:
        """Set the lock timeout for one view more."""
        if self._views == 1:
            self._until = self._clock() + OTHERS_SECONDS
        left = FIRST_SECONDS if self._views == 0 else self._until - self._clock()
        self._views += 1
        await self._session.execute(f"SET LOCAL lock_timeout = {max(1, round(left * 1000))}")


async def make_routines(session: Session, to: Generation) -> None:
    """The functions of readers; those of a time have the columns that the views have by now."""
    there = await views_there(session, to.definition.schema)
    shown = {name: list(zip(one.columns, one.types, strict=True)) for name, one in there.items()}
    for statement in (*function_statements(to), *routine_statements(to, shown)):
        await session.execute(statement.encode())


async def would_break(connections: Connections, definition: Definition) -> Sequence[str]:
    """What others built on views that would have to go, a line each; nothing is touched.

    The tables and views are made in a schema of a moment, which nobody else ever sees.
    """
    schema = definition.schema
    tried = f"projector_try_{token_hex(6)}"
    generation = Generation(definition=definition, schema=tried, control=tried)
    lines: list[str] = []
    async with connections.session() as session, session.transaction(force_rollback=True):
        there = await views_there(session, schema)
        if lines := list(await other_types_in_log(session, definition)):
            return lines  # its tables could not even be tried
        await session.execute(NO_QUEUE)
        for statement in table_statements(generation):
            await session.execute(statement.encode())
        for view in views_of(generation):
            await session.execute(
                f"CREATE VIEW {tried}.of_{view.name} AS {view.query.strip()}".encode()
            )
        new = {
            name.removeprefix("of_"): view
            for name, view in (await views_there(session, tried)).items()
        }
        for name, old in there.items():
            reason = _why_it_goes(old, new.get(name))
            if reason:
                stands = await stands_on(session, old)
                lines += [f"{schema}.{name} {reason}: {one} stands on it" for one in stands]
    return lines


def _why_it_goes(old: There, new: There | None) -> str:
    """Why the view cannot be replaced where it stands; "" when it can."""
    if new is None:
        return "goes"
    types = dict(zip(new.columns, new.types, strict=True))
    gone = [name for name in old.columns if name not in types]
    other = [
        name
        for name, type_ in zip(old.columns, old.types, strict=True)
        if types.get(name, type_) != type_
    ]
    told = [f"loses column {', '.join(gone)}"] if gone else []
    if other:
        told.append(f"changes the type of column {', '.join(other)}")
    return " and ".join(told)


async def copy_grants(session: Session, *, of: str, to: str, only: str | None = None) -> None:
    """Let everybody do with one table or view what they may do with another, but its owner."""
    asked: Mapping[str, object] = {"of": of, "to": to, "columns": [], "only": only}
    for (statement,) in await (await session.execute(GRANTS, asked)).fetchall():
        await session.execute(statement.encode())


async def point_view(
    session: Session, schema: str, view: View, there: There | None, *, keep: bool
) -> bool:
    """Make one view read what its query says; whether it had to be made anew.

    `keep`: columns that the query does not have stay, without values.
    """
    name = f"{schema}.{view.name}"
    query = ordered(view, there, keep=keep)
    statement = f"CREATE OR REPLACE VIEW {name}{options_of(there)} AS\n{query}"
    try:
        async with session.transaction():
            await session.execute(statement.encode())
    except psycopg.Error as error:
        if there is None or error.sqlstate != CANNOT_BE_REPLACED:
            raise
    else:
        return there is None
    await _make_anew(session, schema, view, there)
    return True


async def _make_anew(session: Session, schema: str, view: View, there: There) -> None:
    name = f"{schema}.{view.name}"
    columns = [one for one in there.columns if one in view.columns]
    asked = {"of": name, "to": name, "columns": columns, "only": None}
    grants = await (await session.execute(GRANTS, asked)).fetchall()
    await _drop(session, schema, there)
    await session.execute(
        f"CREATE VIEW {name}{options_of(there)} AS\n{view.query.strip()}".encode()
    )
    for (statement,) in grants:
        await session.execute(statement.encode())


async def end_view(session: Session, schema: str, there: There, *, keep: bool) -> None:
    """A view that the generation does not have goes; with `keep` it stays, without rows."""
    if keep and await stands_on(session, there):
        columns = ", ".join(map(without_value, there.columns, there.types))
        query = f"SELECT {columns} WHERE false"
        name = f"{schema}.{there.name}{options_of(there)}"
        await session.execute(f"CREATE OR REPLACE VIEW {name} AS {query}".encode())
    else:
        await _drop(session, schema, there)


async def _drop(session: Session, schema: str, there: There) -> None:
    stands = await stands_on(session, there)
    if stands:
        raise RebuildError(_told(f"{schema}.{there.name}", stands))
    await session.execute(
        f"DROP FUNCTION IF EXISTS {schema}.{there.name}_as_of(timestamptz)".encode()
    )
    await session.execute(f"DROP VIEW {schema}.{there.name}".encode())


def _told(name: str, stands: Sequence[str]) -> str:
    return (
        f"nothing was switched: {name} would have to go, and on it stand {', '.join(stands)};"
        " drop or change these first"
    )


def options_of(there: There | None) -> str:
    """What people have set for the view, to be said again when it is replaced."""
    return f" WITH ({there.options})" if there is not None and there.options else ""


def ordered(view: View, there: There | None, *, keep: bool) -> str:
    """The query with the columns that are there in their order, new ones behind."""
    query = view.query.strip()
    if there is None:
        return query
    shown = [
        name if name in view.columns else without_value(name, type_)
        for name, type_ in zip(there.columns, there.types, strict=True)
        if keep or name in view.columns
    ]
    shown += [name for name in view.columns if name not in there.columns]
    return (
        query if shown == list(view.columns) else f"SELECT {', '.join(shown)}\nFROM ({query}) AS v"
    )


def without_value(column: str, type_: str) -> str:
    """A column of that type that is always NULL."""
    return f"NULL::{type_} AS {column}"


async def comment_on(
    session: Session,
    schema: str,
    view: View,
    there: There | None,
    told: View | None,
    *,
    anew: bool,
) -> None:
    """Say what is new to be said; what people wrote in its place stays."""
    name = f"{schema}.{view.name}"
    before = {} if told is None else {"": told.comment, **told.columns}
    for column, comment in {"": view.comment, **view.columns}.items():
        now = None if there is None else there.comments.get(column)
        says = comment if now in {None, before.get(column)} else now
        if anew or says != now:
            of = f"COLUMN {name}.{column}" if column else f"VIEW {name}"
            await session.execute(f"COMMENT ON {of} IS {quoted(says or '')}".encode())


async def let_in_to_storage(session: Session, *, to: Generation, former: Generation) -> None:
    """Whoever was let in to tables of the former one, as views with `security_invoker` need it."""
    for of, schema in ((former.schema, to.schema), (former.control, to.control)):
        asked = {"of": of, "to": schema}
        for (statement,) in await (await session.execute(SCHEMA_GRANTS, asked)).fetchall():
            await session.execute(statement.encode())
    before = tables_of(former)
    for name, table in tables_of(to).items():
        if name in before:
            await copy_grants(session, of=before[name], to=table)
            await copy_grants(session, of=before[name], to=REGISTRY, only="SELECT")


def tables_of(generation: Generation) -> Mapping[str, str]:
    """Tables that views read, by name, with where they are."""
    definition = generation.definition
    names = [definition.rows, *(total.name for total in definition.totals)]
    control = {
        one: f"{generation.control}.{one}" for one in ("ranges", "range_reports", "quarantine")
    }
    return {**{one: generation.table(one) for one in names}, **control}


async def views_there(session: Session, schema: str) -> Mapping[str, There]:
    """The views of that schema as they are, by name."""
    found = {one.name: one for one in await all_rows(session, There, THERE, [schema])}
    for name, column, comment in await (await session.execute(COMMENTS, [schema])).fetchall():
        found[name].comments[column] = comment
    return found


async def readers_of(session: Session, schema: str) -> str:
    """Who reads a view this moment, for a person."""
    rows = await (await session.execute(READERS, [schema])).fetchall()
    return ", ".join(one for (one,) in rows) or "somebody"


async def stands_on(session: Session, there: There) -> Sequence[str]:
    """What would fall with the view."""
    rows = await (await session.execute(DEPENDANTS, [there.oid])).fetchall()
    return [told for (told,) in rows]
