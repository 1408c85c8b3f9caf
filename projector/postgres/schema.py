"""Which schema a database has, told without the machinery that changes it.

Most starts find the schema as it should be. Alembic and SQLAlchemy, which only the others need, would
cost each host a sixth of its memory and half a second, so they are loaded when there is work for them.
"""

from __future__ import annotations

from pathlib import Path

import psycopg

import projector
from projector.core.errors import SchemaMismatch
from projector.postgres.errors import translated
from projector.postgres.refusals import reaching

CONNECT_SECONDS = 10
OLDEST_SERVER = 140000
CURRENT = "SELECT version_num FROM projector.alembic_version"


def migrations_folder() -> Path:
    """Where the migrations are: in the package when installed, beside it in a checkout."""
    package = Path(projector.__file__).parent
    for folder in (package / "migrations", package.parent / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise SchemaMismatch(f"the migrations are missing: looked in and beside {package}")


def head() -> str:
    """The newest revision this program knows."""
    names = sorted((migrations_folder() / "versions").glob("[0-9]*_*.py"))
    if not names:
        raise SchemaMismatch("there are no migrations")
    return names[-1].name.partition("_")[0]


def current(url: str) -> str | None:
    """The revision the database is at; None when it was never migrated.

    Raises:
        SinkUnavailable: The server is not there.
    """
    with reaching(url):
        connection = psycopg.connect(url, connect_timeout=CONNECT_SECONDS)
    with translated(), connection:
        if connection.info.server_version < OLDEST_SERVER:
            return None
        try:
            row = connection.execute(CURRENT).fetchone()
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            return None
    return None if row is None else str(row[0])
