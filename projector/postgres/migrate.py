"""Brings the schema to the version this program needs, once, whoever starts at the same time.

At head nothing is locked and nothing is written. Otherwise a session advisory lock on a second
connection lets one process migrate while the others wait for it; all migrations of one call are one
transaction. A schema newer than this program is refused, never downgraded. Steps are named
`NNNN_{expand|contract}_<what>`: the previous release must run on what an expand step leaves.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Connection, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from projector.core.errors import SchemaMismatch, SinkError
from projector.postgres.errors import translated, translated_error
from projector.postgres.refusals import connection_error, reaching, refusal_of
from projector.postgres.schema import CONNECT_SECONDS, OLDEST_SERVER, migrations_folder

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


def sqlalchemy_url(url: str) -> URL:
    """The URL with the driver that SQLAlchemy is to use for it."""
    return make_url(url).set(drivername="postgresql+psycopg")


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
    _check_server(connection)
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


def _check_server(connection: Connection) -> None:
    version = int(connection.execute(text("SHOW server_version_num")).scalar_one())
    if version < OLDEST_SERVER:
        raise SchemaMismatch(f"PostgreSQL 14 or newer is needed; the server is {version // 10000}")


def _run(connection: Connection, revision: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    connection.commit()


@contextmanager
def _connection(url: str) -> Iterator[Connection]:
    engine = create_engine(
        sqlalchemy_url(url),
        poolclass=NullPool,
        connect_args={"connect_timeout": CONNECT_SECONDS, "application_name": "projector migrate"},
    )
    try:
        with engine.connect() as connection:
            yield connection
    except DBAPIError as error:
        raise _translated(error, url) from error
    finally:
        engine.dispose()


def _translated(error: DBAPIError, url: str) -> Exception:
    if isinstance(error.orig, psycopg.OperationalError) and error.orig.sqlstate is None:
        return connection_error(error.orig, refusal_of(error.orig, url))
    if isinstance(error.orig, psycopg.Error):
        return translated_error(error.orig)
    return SinkError(str(error.orig))


@contextmanager
def _only_one(url: str) -> Iterator[None]:
    """Holds the lock on a connection of its own: the migrations' transaction stays theirs."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with reaching(plain):
        connection = psycopg.connect(plain, autocommit=True, connect_timeout=CONNECT_SECONDS)
    with connection:
        with translated():
            connection.execute(
                "SELECT set_config('lock_timeout', %s, false)", [f"{LOCK_WAIT_SECONDS}s"]
            )
            connection.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
        yield
