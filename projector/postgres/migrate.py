"""Brings the schema to the version this program needs, once, whoever starts at the same time.

At head nothing is locked and nothing is written. Otherwise a session advisory lock on a second
connection lets one process migrate while the others wait for it; all migrations of one call are one
transaction. A schema newer than this program is refused, never downgraded. Steps are named
`NNNN_{expand|contract}_<what>`: the previous release must run on what an expand step leaves.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from projector.core.errors import SchemaMismatch, SinkError
from projector.postgres.errors import translated, translated_error
from projector.postgres.schema import migrations_folder
from projector.postgres.sessions import connect

VERSION_SCHEMA = "projector"
LOCK_KEY = 0x70726F6A65637431
LOCK_WAIT_SECONDS = 600


def upgrade(url: str) -> str:
    """Bring the database at `url` to head; returns the revision it is at.

    Raises:
        SchemaMismatch: The schema is newer than this program, or the server older than 14.
        SinkUnavailable: The server is not there.
    """
    scripts = _scripts()
    with _connection(url) as connection:
        if _checked_revision(connection, scripts) == _head(scripts):
            return _head(scripts)
    with _only_one(url), _connection(url) as connection:
        _checked_revision(connection, scripts)
        _run(connection, "head")
    return _head(scripts)


def downgrade(url: str, revision: str) -> None:
    """Take the database back to a revision, "base" for none; rows of dropped tables are lost."""
    with _only_one(url), _connection(url) as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
        connection.commit()


def current(url: str) -> str | None:
    """The revision the database is at; None when it was never migrated."""
    with _connection(url) as connection:
        return _revision(connection)


def head() -> str:
    """The newest revision this program knows."""
    return _head(_scripts())


def check(url: str) -> None:
    """Raise SchemaMismatch unless the database is at the revision this program needs."""
    scripts = _scripts()
    with _connection(url) as connection:
        found = _checked_revision(connection, scripts)
    if found != _head(scripts):
        raise SchemaMismatch(
            f"the schema is at {found or 'nothing'}, this program needs {_head(scripts)};"
            " type: projector db upgrade"
        )


def engine(url: str) -> Engine:
    """Connections as ours are, for SQLAlchemy, which never sees the address."""

    def creator() -> psycopg.Connection[Any]:
        connection = connect(url, application_name="projector migrate")
        connection.autocommit = False
        return connection

    return create_engine(
        "postgresql+psycopg://", creator=creator, poolclass=NullPool, use_native_hstore=False
    )


def _config() -> Config:
    config = Config()
    # A percent sign would be read as the start of an interpolation.
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _head(scripts: ScriptDirectory) -> str:
    found = scripts.get_current_head()
    if found is None:
        raise SchemaMismatch("there are no migrations")
    return found


def _revision(connection: Connection) -> str | None:
    context = MigrationContext.configure(connection, opts={"version_table_schema": VERSION_SCHEMA})
    return context.get_current_revision()


def _checked_revision(connection: Connection, scripts: ScriptDirectory) -> str | None:
    found = _revision(connection)
    connection.rollback()
    if found is None:
        return None
    try:
        scripts.get_revision(found)
    except CommandError as error:
        raise SchemaMismatch(
            f"the schema is newer than this program: it is at {found},"
            f" this program knows up to {_head(scripts)}; install the newer program"
        ) from error
    return found


def _run(connection: Connection, revision: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    connection.commit()


@contextmanager
def _connection(url: str) -> Iterator[Connection]:
    opened = engine(url)
    try:
        with opened.connect() as connection:
            yield connection
    except DBAPIError as error:
        raise _translated(error) from error
    finally:
        opened.dispose()


def _translated(error: DBAPIError) -> Exception:
    if isinstance(error.orig, psycopg.Error):
        return translated_error(error.orig)
    return SinkError(str(error.orig))


@contextmanager
def _only_one(url: str) -> Iterator[None]:
    """Holds the lock on a connection of its own: the migrations' transaction stays theirs."""
    waiting = {"lock_timeout": f"{LOCK_WAIT_SECONDS}s"}
    with connect(url, application_name="projector migrate", properties=waiting) as connection:
        with translated():
            connection.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
        yield
