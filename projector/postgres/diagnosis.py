"""What a person wants to know of a target before trusting it: version, rights, clock, encoding.

Questions only; what an answer means stands in `operations.target_checks`.
"""

from __future__ import annotations

from collections.abc import Sequence

from projector.ports.diagnosis import (
    MissingRight,
    RoleLacking,
    ServerFacts,
    Stranger,
    Taken,
    Without,
)
from projector.postgres.connections import Connections, all_rows
from projector.postgres.generation import FIRST_GENERATION
from projector.postgres.generations import live
from projector.postgres.readers import LET_IN_ELSEWHERE, MAY_READ, VIEWS_IN
from projector.postgres.views import views_of

FACTS = """
SELECT current_setting('server_version_num')::int AS server_version,
  current_setting('server_version') AS version_text, clock_timestamp() AS server_time,
  current_user::text AS user_name, current_database()::text AS database_name,
  pg_encoding_to_char(d.encoding)::text AS encoding,
  has_database_privilege(current_database(), 'CREATE') AS may_create_schemas,
  has_database_privilege(current_database(), 'TEMPORARY') AS may_create_temporary_tables,
  COALESCE(r.rolcreaterole OR r.rolsuper, false) AS may_create_roles,
  EXISTS (SELECT FROM pg_roles WHERE rolname = %(reader)s) AS reader_exists,
  {may_read} AS reader_may_read,
  {elsewhere} AS reader_elsewhere,
  pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' AS read_only
FROM pg_database d LEFT JOIN pg_roles r ON r.rolname = current_user
WHERE d.datname = current_database()""".format(
    may_read=MAY_READ.format(role="%(reader)s"),
    elsewhere=LET_IN_ELSEWHERE.format(role="%(reader)s"),
)


OWN_SCHEMAS = (VIEWS_IN, "projector", FIRST_GENERATION.schema)

# Names of schemas that the first migration is going to make, and what stands in them.
TAKEN = """
SELECT n.nspname AS schema, min(c.relname) AS relation FROM pg_namespace n
LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
WHERE n.nspname = ANY(%s) GROUP BY 1 HAVING n.nspname <> 'projector' OR count(c.oid) > 0
ORDER BY 1"""

MISSING_VIEWS = """
SELECT v.name FROM unnest(%(names)s::text[]) AS v(name) WHERE NOT EXISTS (
  SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = %(schema)s AND c.relname = v.name AND c.relkind = 'v')
ORDER BY 1"""

# Sequences behind identity columns need a right to be looked at: see `sequences`.
MISSING_RIGHTS = """
WITH ours AS (
  SELECT n.nspname, n.oid AS schema, c.oid, c.relkind, c.relowner,
    quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE (n.nspname = 'projector' OR left(n.nspname, 10) = 'projector_')
    AND c.relkind IN ('r', 'p', 'S') AND c.relname <> 'alembic_version')
SELECT DISTINCT 'USAGE' AS needed, 'schema ' || nspname AS name, false AS owner FROM ours
WHERE NOT has_schema_privilege(schema, 'USAGE')
UNION ALL
SELECT r.needed, o.name, false FROM ours o, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE'])
  AS r(needed) WHERE o.relkind <> 'S' AND NOT has_table_privilege(o.oid, r.needed)
UNION ALL
SELECT 'USAGE', name, false FROM ours
WHERE CASE relkind WHEN 'S' THEN NOT has_sequence_privilege(oid, 'USAGE') ELSE false END
UNION ALL
SELECT pg_get_userbyid(relowner), name, true FROM ours
WHERE %s AND NOT pg_has_role(relowner, 'USAGE')
ORDER BY 3, 2, 1"""

# Months of the log are made and dropped, views are replaced: the server lets only an owner do that. Days are
# taken from what the views say.
ROLES_LACKING = """
SELECT CASE c.relkind WHEN 'v' THEN 'promotions' ELSE 'months' END AS without,
  n.nspname || '.' || c.relname AS name, pg_get_userbyid(c.relowner)::text AS role,
  pg_has_role(c.relowner, 'MEMBER') AS member
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT pg_has_role(c.relowner, 'USAGE') AND (
  n.nspname = 'projector' AND (c.relkind = 'p' OR c.relkind = 'r' AND c.relispartition)
    AND EXISTS (SELECT FROM projector.history_settings WHERE recording)
  OR n.nspname = %s AND c.relkind = 'v' AND c.relname = ANY(%s))
UNION ALL
SELECT 'days', '', '', false FROM projector.history_settings WHERE recording AND NOT {may_read}
ORDER BY 1, 2""".replace("{may_read}", MAY_READ.format(role="current_user"))

STRANGERS = """
SELECT processor_name AS name, max(opened_at) AS opened_at FROM {control}.ranges
WHERE processor_name <> %s AND opened_at > now() - interval '1 hour'
GROUP BY processor_name ORDER BY processor_name"""


async def server_facts(connections: Connections, *, reader: str) -> ServerFacts:
    """Ask once; `reader` is the role that reads the views.

    Raises SinkUnavailable, ConfigurationError, SchemaMismatch (older than 14).
    """
    (found,) = await connections.all_rows(ServerFacts, FACTS, {"reader": reader})
    return found


async def strangers(connections: Connections, *, processor_name: str) -> Sequence[Stranger]:
    """Processors beside that one; the schema must be there. Raises SinkUnavailable."""
    async with connections.session() as session:
        found = await live(session)
        asked = STRANGERS.replace("{control}", found.record.control)
        me = found.record.processor_name or processor_name
        return await all_rows(session, Stranger, asked, [me])


async def taken_schemas(connections: Connections) -> Sequence[Taken]:
    """What stands in the way of the first migration; ask only before it. Raises SinkUnavailable."""
    return await connections.all_rows(Taken, TAKEN, [list(OWN_SCHEMAS)])


async def missing_views(connections: Connections) -> Sequence[str]:
    """Views of the contract that are not there, or are something else. Raises SinkUnavailable."""
    async with connections.session() as session:
        names = [view.name for view in views_of((await live(session)).generation)]
        asked = {"names": names, "schema": VIEWS_IN}
        rows = await (await session.execute(MISSING_VIEWS, asked)).fetchall()
    return [f"{VIEWS_IN}.{name}" for (name,) in rows]


async def missing_rights(connections: Connections, *, migrates: bool) -> Sequence[MissingRight]:
    """Rights on what is there that a host needs, and a migration. Raises SinkUnavailable."""
    return await connections.all_rows(MissingRight, MISSING_RIGHTS, [migrates])


async def roles_lacking(connections: Connections) -> Sequence[RoleLacking]:
    """What a host would leave undone for want of a role. Raises SinkUnavailable."""
    async with connections.session() as session:
        names = [view.name for view in views_of((await live(session)).generation)]
        rows = await (await session.execute(ROLES_LACKING.encode(), [VIEWS_IN, names])).fetchall()
    return [
        RoleLacking(without=Without(without), name=name, role=role, member=member)
        for without, name, role, member in rows
    ]


async def server_sessions(connections: Connections) -> Sequence[int]:
    """The server's process behind each of two connections, asked in turn, twice.

    Two connections that are open at once have a process each, and keep it: unless somebody
    between them and us hands out processes by the transaction. Raises SinkUnavailable.
    """
    async with connections.session() as one, connections.session() as other:
        told = []
        for session in (one, other, one, other):
            row = await (await session.execute("SELECT pg_backend_pid()")).fetchone()
            told.append(0 if row is None else int(row[0]))
    return told


FIRST = """
SELECT (SELECT count(*) FROM (
    SELECT FROM {rows} WHERE NOT rejected LIMIT %(limit)s) r),
  (SELECT count(*) FROM (
    SELECT FROM {control}.quarantine WHERE status <> 'closed' LIMIT %(limit)s) q)"""


async def first_documents(connections: Connections, *, limit: int) -> tuple[int, int]:
    """How many rows, removed ones included, and how many quarantined documents; at most so many.

    Of the live generation. Raises SinkUnavailable.
    """
    async with connections.transaction() as session:
        found = (await live(session)).generation
        statement = FIRST.replace("{rows}", found.rows).replace("{control}", found.control)
        await session.execute("SELECT set_config('enable_seqscan', 'on', true)")
        row = await (await session.execute(statement, {"limit": limit})).fetchone()
    return (0, 0) if row is None else (int(row[0]), int(row[1]))
