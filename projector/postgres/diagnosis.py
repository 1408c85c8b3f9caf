"""What a person wants to know of a target before trusting it: version, rights, clock, encoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from projector.postgres.connections import Connections
from projector.postgres.readers import LET_IN_ELSEWHERE, MAY_READ

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


STRANGERS = """
SELECT processor_name AS name, max(opened_at) AS opened_at FROM projector.ranges
WHERE processor_name <> %s AND opened_at > now() - interval '1 hour'
GROUP BY processor_name ORDER BY processor_name"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """A server as it says of itself, for the user who asks."""

    server_version: int
    version_text: str
    server_time: datetime
    user_name: str
    database_name: str
    encoding: str
    may_create_schemas: bool
    may_create_temporary_tables: bool
    may_create_roles: bool
    reader_exists: bool
    reader_may_read: bool | None
    reader_elsewhere: Sequence[str]
    read_only: bool


async def server_facts(connections: Connections, *, reader: str) -> ServerFacts:
    """Ask once; `reader` is the role that reads the views.

    Raises SinkUnavailable, ConfigurationError, SchemaMismatch (older than 14).
    """
    async with connections.session() as session:
        cursor = session.cursor(row_factory=class_row(ServerFacts))
        await cursor.execute(FACTS.encode(), {"reader": reader})
        found = await cursor.fetchone()
    if found is None:  # pragma: no cover - every database has a row of its own
        raise LookupError("the server does not know its own database")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger:
    """Another processor that opened ranges of this target within the hour, the last one when."""

    name: str
    opened_at: datetime


async def strangers(connections: Connections, *, processor_name: str) -> Sequence[Stranger]:
    """Processors beside that one; the schema must be there. Raises SinkUnavailable."""
    async with connections.session() as session:
        cursor = session.cursor(row_factory=class_row(Stranger))
        await cursor.execute(STRANGERS, [processor_name])
        return await cursor.fetchall()
