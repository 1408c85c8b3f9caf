"""Brings the schema to the version this program needs, once, whoever starts at the same time.

At head nothing is locked and nothing is written. Otherwise the version's table is locked, so that one
process migrates and the others find it done; all migrations of one call are one transaction. No lock is
waited for long, since everybody who comes later would queue behind the one who waits: the caller is told
who holds it, and tries again. A schema newer than this program is refused, never downgraded; so is one of
before the first release, whose numbers are below the baseline's. Steps are named
`NNNN_{expand|contract}_<what>`: the previous release must run on what an expand step leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from projector.core.errors import SchemaBusy, SchemaMismatch, SinkError, SinkUnavailable
from projector.core.texts import duration
from projector.postgres import schema
from projector.postgres.errors import translated_error
from projector.postgres.generation import FIRST_GENERATION
from projector.postgres.properties import connect, connected

VERSION_SCHEMA = "projector"

ALONE = (
    "SET LOCAL lock_timeout = '500ms'",
    f"CREATE SCHEMA IF NOT EXISTS {VERSION_SCHEMA}",
    # As Alembic would make it.
    (
        f"CREATE TABLE IF NOT EXISTS {VERSION_SCHEMA}.alembic_version (version_num VARCHAR(32) NOT NULL,"
        " CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
    ),
    f"LOCK TABLE {VERSION_SCHEMA}.alembic_version IN SHARE ROW EXCLUSIVE MODE",
)

# A lock timeout, a deadlock, and twice the same schema or table at the same time.
ANOTHER_WAS_FASTER = frozenset({"55P03", "40P01", "23505"})

# The one that waits longest first: who only came by meanwhile is not to blame.
HOLDERS = """
SELECT a.pid, a.usename::text, extract(epoch FROM clock_timestamp() - a.xact_start)::bigint
FROM pg_catalog.pg_stat_activity a
WHERE a.pid <> pg_catalog.pg_backend_pid() AND EXISTS (
  SELECT FROM pg_catalog.pg_locks l
  JOIN pg_catalog.pg_class c ON c.oid = l.relation
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE l.pid = a.pid AND l.granted AND l.locktype = 'relation'
    AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
    AND (n.nspname = %s OR n.nspname LIKE 'projector%%'))
ORDER BY a.xact_start LIMIT 3"""


def upgrade(url: str) -> str:
    """Bring the database at `url` to head; returns the revision it is at.

    Raises:
        SchemaMismatch: The schema is newer than this program, or of before the first release, or the
            server older than 14.
        SinkUnavailable: The server is not there.
        SchemaBusy: Somebody holds a lock that is needed; nothing was changed.
    """
    scripts = _scripts()
    with _connection(url) as connection:
        if _checked_revision(connection) == _head(scripts):
            return _head(scripts)
    with _alone(url) as connection:
        if _revision(connection) != _head(scripts):
            _run(command.upgrade, connection, "head")
    return _head(scripts)


def check(url: str) -> None:
    """Raise SchemaMismatch unless the database is at the revision this program needs."""
    scripts = _scripts()
    with _connection(url) as connection:
        found = _checked_revision(connection)
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
    config.set_main_option("script_location", str(schema.migrations_folder()).replace("%", "%%"))
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


def _checked_revision(connection: Connection) -> str | None:
    found = _revision(connection)
    connection.rollback()
    if found is None:
        return None
    dead_end = schema.dead_end(found)
    if dead_end is not None:
        raise SchemaMismatch("; ".join(dead_end))
    return found


def _run(change: Callable[[Config, str], None], connection: Connection, revision: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    change(config, revision)
    connection.commit()


@contextmanager
def _alone(url: str) -> Iterator[Connection]:
    """A transaction that nobody else migrates beside, and that waits for no lock for long."""
    with _not_queued(url), _connection(url) as connection:
        for statement in ALONE:
            connection.exec_driver_sql(statement)
        yield connection


@contextmanager
def _not_queued(url: str) -> Iterator[None]:
    """Tell who holds the lock that was not waited for."""
    try:
        yield
    except SinkUnavailable as error:
        if error.sqlstate not in ANOTHER_WAS_FASTER:
            raise
        raise SchemaBusy(
            f"the upgrade waits for {_holders(url)}", sqlstate=error.sqlstate
        ) from error


def _holders(url: str) -> str:
    with connected(url, application_name="projector migrate") as session:
        found = session.execute(HOLDERS, [FIRST_GENERATION.definition.schema]).fetchall()
    return ", ".join(_described(*one) for one in found) or "a lock that is free again by now"


def _described(pid: int, user: str | None, seconds: int | None) -> str:
    since = "" if seconds is None else f", {duration(seconds)}"
    return f"pid {pid} (user {user}{since})"


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
