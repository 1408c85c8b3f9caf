"""The role that may read the views, and nothing else.

Roles belong to the whole server, and each of its databases may let the same one in: whoever is given
it for one shop then reads the next shop, too. So its name can be chosen per database, the one that
migrations let in by default is shut out where another one is chosen, and whoever hands a role out is
told which other databases let it in. What a role may do without our doing, by PUBLIC or membership, is the
administrator's affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from projector.postgres.generation import FIRST_GENERATION
from projector.postgres.properties import connected

DEFAULT_READER = FIRST_GENERATION.definition.reader_role
VIEWS_IN = FIRST_GENERATION.definition.schema

# All parts of the view schema must let the role in; NULL where there is no role or no schema yet.
MAY_READ = """(
  SELECT bool_and(has_table_privilege(r.oid, c.oid, 'SELECT'))
    AND has_schema_privilege(r.oid, n.oid, 'USAGE')
  FROM pg_roles r CROSS JOIN pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid
  WHERE r.rolname = {role} AND n.nspname = '{schema}' AND c.relkind = 'v' GROUP BY r.oid, n.oid)""".replace(
    "{schema}", VIEWS_IN
)

LET_IN_ELSEWHERE = """ARRAY(
  SELECT DISTINCT d.datname::text FROM pg_shdepend s
  JOIN pg_roles r ON r.oid = s.refobjid JOIN pg_database d ON d.oid = s.dbid
  WHERE s.refclassid = 'pg_authid'::regclass AND s.deptype = 'a' AND r.rolname = {role}
    AND d.datname <> current_database() ORDER BY 1)"""

LOOK = (
    """
SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %(role)s) AS there,
  COALESCE({may_read}, false) AS may_read,
  %(role)s <> %(other)s AND COALESCE({other_reads}, false) AS other_reads,
  {elsewhere} AS elsewhere""".replace("{may_read}", MAY_READ.replace("{role}", "%(role)s"))
    .replace("{other_reads}", MAY_READ.replace("{role}", "%(other)s"))
    .replace("{elsewhere}", LET_IN_ELSEWHERE.replace("{role}", "%(role)s"))
)

LET_IN = (
    "GRANT USAGE ON SCHEMA {schema} TO {role}",
    "GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}",
    "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} TO {role}",
)
SHUT_OUT = (
    "REVOKE SELECT ON ALL TABLES IN SCHEMA {schema} FROM {role}",
    "REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} FROM {role}",
    "REVOKE USAGE ON SCHEMA {schema} FROM {role}",
)
# Of two hosts that start at once, the second finds it done. A lock of a table needs rights on it; an
# advisory one can be taken by whoever may connect.
ALONE = (
    "SET LOCAL lock_timeout = '5s'",
    "LOCK TABLE projector.alembic_version IN SHARE ROW EXCLUSIVE MODE",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Who was let in.

    Attributes:
        changed: something was granted or revoked just now.
        elsewhere: other databases of the server that let the same role in.
    """

    changed: bool
    elsewhere: Sequence[str]


def let_in(url: str, role: str) -> Reader:
    """Let a role of the administrator's choice read the views, and the default one no longer.

    The default one was let in by the migrations, once: whoever shut it out meant it. A role that is
    missing is created where that is permitted; where it is not, nothing happens, and `projector
    doctor` says what to type. Nothing is written when all is well.
    """
    parameters = {"role": role, "other": DEFAULT_READER}
    with connected(url, application_name="projector migrate") as connection:
        there, may_read, other_reads, elsewhere = _row(connection, LOOK, parameters)
        if role == DEFAULT_READER or (may_read and not other_reads):
            return Reader(changed=False, elsewhere=elsewhere if may_read else ())
        with connection.transaction():
            for statement in ALONE:
                connection.execute(statement.encode())
            if not there and not _create(connection, role):
                return Reader(changed=False, elsewhere=())
            _execute(connection, LET_IN, role)
            if other_reads:
                _execute(connection, SHUT_OUT, DEFAULT_READER)
        return Reader(changed=True, elsewhere=elsewhere)


def _create(connection: psycopg.Connection[Any], role: str) -> bool:
    try:
        with connection.transaction():
            _execute(connection, ("CREATE ROLE {role} NOLOGIN",), role)
    except psycopg.errors.InsufficientPrivilege:
        return False
    except (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
        return True  # another database of the server was quicker
    return True


def _execute(connection: psycopg.Connection[Any], statements: Sequence[str], role: str) -> None:
    quoted = sql.Identifier(role).as_string(connection)
    for statement in statements:
        text = statement.replace("{schema}", VIEWS_IN).replace("{role}", quoted)
        connection.execute(text.encode())


def _row(connection: psycopg.Connection[Any], query: str, parameters: dict[str, str]) -> Any:
    return connection.execute(query.encode(), parameters).fetchone()
