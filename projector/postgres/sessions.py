"""One connection outside the pool, ready to use: for migrations and for a look at the schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psycopg
from psycopg import Connection
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from projector.core.errors import ConfigurationError, ProjectorError
from projector.postgres.address import Address, address
from projector.postgres.encryption import check_encrypted, demanded, mistake
from projector.postgres.errors import translated
from projector.postgres.properties import STARTUP, prepare
from projector.postgres.refusals import connection_error, refusal_of

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
