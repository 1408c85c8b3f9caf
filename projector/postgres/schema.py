"""Which schema a database has, told without the machinery that changes it.

Most starts find the schema as it should be. Alembic and SQLAlchemy, which only the others need, would
cost each host a sixth of its memory and half a second, so they are loaded when there is work for them.
"""

from __future__ import annotations

from pathlib import Path

import psycopg

import projector
from projector.core.errors import SchemaMismatch
from projector.ports.diagnosis import SchemaLook
from projector.postgres.encryption import encryption
from projector.postgres.sessions import connected

CURRENT = "SELECT version_num FROM projector.alembic_version"
# Those of foreign keys as well: what they cascade is relied on.
ASLEEP = """
SELECT pg_catalog.concat_ws('.', n.nspname, c.relname, t.tgname)
FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE (n.nspname = 'projector' OR n.nspname LIKE 'projector\\_g%') AND t.tgenabled IN ('D', 'R')
ORDER BY 1"""


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


def look(url: str) -> SchemaLook:
    """Look at the database at `url`, once.

    Raises:
        SinkUnavailable: The server is not there.
        ConfigurationError, SchemaMismatch: The address or the server is not as it has to be.
    """
    with connected(url, application_name="projector look") as connection:
        protection = encryption(connection)
        try:
            row = connection.execute(CURRENT).fetchone()
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            return SchemaLook(revision=None, encryption=protection, asleep=())
        asleep = [str(name) for (name,) in connection.execute(ASLEEP)]
    revision = None if row is None else str(row[0])
    return SchemaLook(revision=revision, encryption=protection, asleep=asleep)


def current(url: str) -> str | None:
    """The revision the database is at; None when it was never migrated. Raises as `look`."""
    return look(url).revision
