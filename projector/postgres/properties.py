"""What our statements rely on in a session, and no server, database, role or variable may decide.

Every connection is made ready here, before its first statement: those of the pool, of migrations and
of the commands that look. What may be set is set, whatever was there; what may not is checked, and a
session that cannot be as we need it is refused in one line. `docs/reference/sessions.md` says why each
one matters. Left as they are: whether the server takes writes (`default_transaction_read_only` is how
an administrator stops us, so it counts as an outage), memory, parallelism, tablespaces, and waiting for
standbys.

Of two people who may create things in one schema, the one can make the other's statements run his
functions and operators. So names are looked up in the server's own schema, and after it in one of
ours alone, where nobody but its owner may create anything: the control tables of the generation that
the session works for, so that one statement serves them all.

One connection outside the pool, ready to use: for migrations and for a look at the schema.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg
from psycopg import AsyncConnection, Connection
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from projector.core.errors import ConfigurationError, ProjectorError, SchemaMismatch
from projector.postgres.address import Address, address
from projector.postgres.encryption import check_encrypted, demanded, mistake
from projector.postgres.errors import (
    Blame,
    blame,
    connection_error,
    first_line,
    refusal_of,
    translated,
)

OLDEST_SERVER = 140000
FIRST_WITH_TRANSACTION_TIMEOUT = 170000
ENCODING = "UTF8"

STARTUP = {"client_encoding": ENCODING}
"""Said when the connection is made: the driver reads and writes texts in it from the first."""

SEARCH_PATH = "pg_catalog, pg_temp"

SESSION: Mapping[str, str] = {
    "quote_all_identifiers": "off",  # or the next one would be kept in quotes
    # Before any statement that looks up a name: it finds the server's own only.
    "search_path": SEARCH_PATH,
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "exit_on_error": "off",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "row_security": "off",
    "default_table_access_method": "heap",
    "idle_session_timeout": "0",
}

# The plans of batches are made once, maybe on empty tables: they must stay index probes. Whoever
# scans on purpose says so (`sweep.allow_scan`).
PLANS: Mapping[str, str] = {
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_nestloop": "on",
    "enable_indexscan": "on",
}

# A commit that was reported is on this server's disk; how many others it waits for is not our affair.
DURABLE = """SELECT pg_catalog.set_config('synchronous_commit', 'local', false)
WHERE pg_catalog.current_setting('synchronous_commit') OPERATOR(pg_catalog.=) 'off'"""
ORIGIN = "origin"
# Asked of the server itself: a pooler between may tell nothing, or what another session had.
FOUND = """SELECT pg_catalog.current_setting('session_replication_role'),
  pg_catalog.current_setting('server_encoding'), pg_catalog.current_setting('client_encoding')"""
FIRE_TRIGGERS = "SET session_replication_role = 'origin'"


def looking_in(control: str) -> str:
    """The search path of a session that works for the generation whose control tables are there."""
    return f"pg_catalog, {control}, pg_temp"


class _Found(NamedTuple):
    role_of_triggers: str
    server_encoding: str
    client_encoding: str


def prepare(connection: Connection[Any], properties: Mapping[str, str]) -> None:
    """Make a session that is in autocommit as we need it.

    Raises:
        ConfigurationError, SchemaMismatch: It cannot be; one line says what to do.
        psycopg.Error: It broke, or the server asks to wait.
    """
    _check_server(connection)
    try:
        found = _last(connection.execute(_script(connection, properties)))
        _check_encodings(found, connection.info.dbname)
        if found.role_of_triggers != ORIGIN:
            connection.execute(FIRE_TRIGGERS)
    except psycopg.Error as error:
        if (refusal := _refusal(error, connection)) is None:
            raise
        raise refusal from error


async def prepare_async(connection: AsyncConnection[Any], properties: Mapping[str, str]) -> None:
    """The same for a session of the pool."""
    _check_server(connection)
    try:
        found = _last(await connection.execute(_script(connection, properties)))
        _check_encodings(found, connection.info.dbname)
        if found.role_of_triggers != ORIGIN:
            await connection.execute(FIRE_TRIGGERS)
    except psycopg.Error as error:
        if (refusal := _refusal(error, connection)) is None:
            raise
        raise refusal from error


def _check_server(connection: Connection[Any] | AsyncConnection[Any]) -> None:
    version = connection.info.server_version
    if version < OLDEST_SERVER:
        raise SchemaMismatch(f"PostgreSQL 14 or newer is needed; the server is {version // 10000}")


def _check_encodings(found: _Found, database: str) -> None:
    if found.server_encoding != ENCODING:
        raise ConfigurationError(
            f"the encoding of database {database} is {found.server_encoding}, which cannot hold every"
            " text: create one with CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
        )
    if found.client_encoding != ENCODING:
        raise ConfigurationError(
            f"PostgreSQL, or what stands between, speaks {found.client_encoding} with us although"
            " client_encoding=UTF8 was asked for when connecting: connect without it"
        )


def _script(
    connection: Connection[Any] | AsyncConnection[Any], properties: Mapping[str, str]
) -> str:
    """One request: all of them, then what can only be checked. Every value is a constant of ours."""
    values = {**SESSION, **properties}
    if connection.info.server_version >= FIRST_WITH_TRANSACTION_TIMEOUT:
        values["transaction_timeout"] = "0"
    lines = [
        f"SET {name} = {value}" if name == "search_path" else f"SET {name} = '{value}'"
        for name, value in values.items()
    ]
    return ";\n".join([*lines, DURABLE, FOUND])


def _last(cursor: psycopg.Cursor[Any] | psycopg.AsyncCursor[Any]) -> _Found:
    while cursor.nextset():
        pass
    result = cursor.pgresult
    values = [result.get_value(0, place) if result is not None else None for place in range(3)]
    return _Found(*[(value or b"").decode("ascii") for value in values])


def _refusal(
    error: psycopg.Error, connection: Connection[Any] | AsyncConnection[Any]
) -> ConfigurationError | None:
    """What a person has to hear; None when waiting helps."""
    if connection.closed or blame(error.sqlstate) is Blame.OUTAGE:
        return None
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        user = connection.info.user
        return ConfigurationError(
            "session_replication_role is not origin, so triggers that count do not fire, and"
            f' {user} may not change it: ALTER ROLE "{user}" RESET session_replication_role,'
            " or wherever it was set"
        )
    return ConfigurationError(
        "PostgreSQL refuses a session as it is needed (docs/reference/sessions.md):"
        f" {first_line(error)}"
    )


CONNECT_SECONDS = 10
PATIENT: Mapping[str, str] = {
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}
"""A migration takes as long as it takes, whatever a role's time-outs say."""


def complete(target: Address) -> str:
    """What libpq is told: the address, and what outranks it and the environment."""
    return make_conninfo(target.url, **STARTUP, **demanded(target))


def why_not(target: Address, error: psycopg.Error) -> ProjectorError:
    """The error of ours for a connection that failed; blocks for a moment when it has to ask."""
    if (found := mistake(target, error)) is not None:
        return ConfigurationError(found)
    return connection_error(error, refusal_of(error, complete(target)))


def connect(
    url: str, *, application_name: str, properties: Mapping[str, str] | None = None
) -> Connection[TupleRow]:
    """A session in autocommit, to be closed by whoever asked.

    Raises:
        SinkUnavailable: The server is not there.
        ConfigurationError, SchemaMismatch: A person has to act.
    """
    target = address(url)
    try:
        connection = psycopg.connect(
            complete(target),
            autocommit=True,
            connect_timeout=CONNECT_SECONDS,
            application_name=application_name,
        )
    except psycopg.Error as error:
        raise why_not(target, error) from error
    try:
        check_encrypted(target, connection)
        with translated():
            prepare(connection, {**PATIENT, **(properties or {})})
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def connected(
    url: str, *, application_name: str, properties: Mapping[str, str] | None = None
) -> Iterator[Connection[TupleRow]]:
    """The same for the length of the body; errors of the driver leave as errors of ours."""
    connection = connect(url, application_name=application_name, properties=properties)
    with translated(), connection:
        yield connection
