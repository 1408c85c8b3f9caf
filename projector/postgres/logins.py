"""Logins for people and tools that query: members of the reader role, bounded, and nothing else.

A login made here says so in its comment. Limits are set for this database alone, since roles belong to
the whole server; whoever may set them for himself may also lift them, so what keeps a login from writing
is that it has no rights to, and `default_transaction_read_only` only says so earlier. A role that somebody
else made is let in as it is: its limits may serve another purpose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from projector.core.errors import ConfigurationError
from projector.postgres.properties import connected

MADE_HERE = "A login that reads the copy; made by `projector bi grant`"
APPLICATION = "projector bi"

LOOK = """
SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %(reader)s) AS reader,
  r.oid IS NOT NULL AS there, shobj_description(r.oid, 'pg_authid') = %(made)s AS ours,
  r.rolsuper OR r.rolbypassrls OR pg_has_role(r.oid, d.datdba, 'MEMBER') AS rules, d.datname::text AS database
FROM pg_database AS d LEFT JOIN pg_roles AS r ON r.rolname = %(role)s
WHERE d.datname = current_database()"""

MAKE = "CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION"
BOUND = (
    "COMMENT ON ROLE {role} IS {made}",
    "ALTER ROLE {role} CONNECTION LIMIT {connections}",
    "ALTER ROLE {role} IN DATABASE {database} SET default_transaction_read_only = on",
    "ALTER ROLE {role} IN DATABASE {database} SET statement_timeout = {statement}",
    "ALTER ROLE {role} IN DATABASE {database} SET idle_in_transaction_session_timeout = {idle}",
    "ALTER ROLE {role} IN DATABASE {database} SET search_path = {schema}",
)
LET_IN = (
    "GRANT {reader} TO {role}",
    "GRANT CONNECT ON DATABASE {database} TO {role}",
)
PASSWORD = "ALTER ROLE {role} PASSWORD {password}"  # noqa: S105 - a statement
FORGET = (
    "REVOKE CONNECT ON DATABASE {database} FROM {role}",
    "DROP ROLE {role}",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a login may take of the server.

    Attributes:
        connections: at most so many at a time.
        statement_seconds: a statement that takes longer is ended.
        idle_seconds: a transaction that is silent for longer is ended: it would keep dead rows.
    """

    connections: int
    statement_seconds: int
    idle_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Who was let in.

    Attributes:
        made: the role is ours, with our limits; else it was there already and keeps its own.
        database: the one that it may read.
        password_set: the password that was given is the role's from now on.
    """

    role: str
    made: bool
    database: str
    password_set: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Password:
    """What a login shows.

    Attributes:
        text: in clear, never shown but once to who asked for one.
        replaces: a role that was made here before gets it, too.
        drawn: nobody knows it yet.
    """

    text: str = field(repr=False)
    replaces: bool
    drawn: bool = False


def grant(
    url: str, role: str, *, reader: str, schema: str, limits: Limits, password: Password | None
) -> Login:
    """Let a role read the views: made with these limits where there is none, or made by us before.

    The password leaves this process as a SCRAM verifier only; None leaves whatever there is.

    Raises:
        ConfigurationError: It may do more than read, or roles may not be made here.
        SinkUnavailable: The server is down.
    """
    with connected(url, application_name=APPLICATION) as connection:
        found = _look(connection, role, reader)
        if not found["reader"]:
            raise ConfigurationError(
                f"there is no role {reader}, which may read the views: type `projector db upgrade` with a"
                " role that has CREATEROLE, or set PROJECTOR_READER_ROLE"
            )
        if found["rules"]:
            raise ConfigurationError(
                f"{role} owns database {found['database']} or is a superuser, so it may do anything"
                " there: choose another name"
            )
        made = not found["there"] or bool(found["ours"])
        sets = password is not None and (not found["there"] or (made and password.replaces))
        names: dict[str, sql.Composable] = {
            "role": sql.Identifier(role),
            "reader": sql.Identifier(reader),
            "database": sql.Identifier(found["database"]),
            "schema": sql.Identifier(schema),
            "made": sql.Literal(MADE_HERE),
            "connections": sql.Literal(limits.connections),
            "statement": sql.Literal(f"{limits.statement_seconds}s"),
            "idle": sql.Literal(f"{limits.idle_seconds}s"),
        }
        try:
            with connection.transaction():
                if not found["there"]:
                    _execute(connection, MAKE, names)
                for statement in (*(BOUND if made else ()), *LET_IN):
                    _execute(connection, statement, names)
                if password is not None and sets:
                    verifier = _verifier(connection, role, password.text)
                    _execute(connection, PASSWORD, {**names, "password": verifier})
        except psycopg.errors.InsufficientPrivilege as error:
            raise _may_not(connection, role, reader) from error
    return Login(role=role, made=made, database=found["database"], password_set=sets)


def revoke(url: str, role: str, *, reader: str) -> Login:
    """Take a role out again; one that was made here is dropped.

    Raises:
        ConfigurationError: There is no such role, others depend on it, or we may not.
        SinkUnavailable: The server is down.
    """
    with connected(url, application_name=APPLICATION) as connection:
        found = _look(connection, role, reader)
        if not found["there"]:
            raise ConfigurationError(f"there is no role {role}")
        names: dict[str, sql.Composable] = {
            "role": sql.Identifier(role),
            "reader": sql.Identifier(reader),
            "database": sql.Identifier(found["database"]),
        }
        try:
            with connection.transaction():
                _execute(connection, "REVOKE {reader} FROM {role}", names)
                for statement in FORGET if found["ours"] else ():
                    _execute(connection, statement, names)
        except psycopg.errors.InsufficientPrivilege as error:
            raise _may_not(connection, role, reader) from error
        except psycopg.errors.DependentObjectsStillExist as error:
            raise ConfigurationError(
                f"{role} owns something or has rights elsewhere: {error.diag.message_detail};"
                f' DROP OWNED BY "{role}" in each of these databases, then try again'
            ) from error
    return Login(role=role, made=bool(found["ours"]), database=found["database"])


def _look(connection: psycopg.Connection[Any], role: str, reader: str) -> dict[str, Any]:
    cursor = connection.cursor(row_factory=dict_row)
    parameters = {"role": role, "reader": reader, "made": MADE_HERE}
    found = cursor.execute(LOOK, parameters).fetchone()
    if found is None:  # pragma: no cover - the database that we are connected to
        raise ConfigurationError("PostgreSQL does not know the database it is asked in")
    return found


def _execute(
    connection: psycopg.Connection[Any], text: LiteralString, names: Mapping[str, sql.Composable]
) -> None:
    connection.execute(sql.SQL(text).format(**names))


def _verifier(connection: psycopg.Connection[Any], role: str, password: str) -> sql.Literal:
    made = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    return sql.Literal(made.decode("ascii"))


def _may_not(connection: psycopg.Connection[Any], role: str, reader: str) -> ConfigurationError:
    user = connection.info.user
    return ConfigurationError(
        f"{user} may not let {role} in here: let an administrator type"
        f' ALTER ROLE "{user}" CREATEROLE; GRANT "{reader}" TO "{user}" WITH ADMIN OPTION; and try again'
    )
