"""Which schema a database has, told without the machinery that changes it.

Most starts find the schema as it should be. Alembic and SQLAlchemy, which only the others need, would
cost each host a sixth of its memory and half a second, so they are loaded when there is work for them.

Which database this is: an id of its own, which its failovers keep and its copies do not.

The id is made at the first look and stands in the database beside the server that it was made on.
A standby that took over is the same server by PostgreSQL's own identifier; a dump that was restored
elsewhere, or beside its original, is another one, and gets an id of its own.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import psycopg

import projector
from projector.core.errors import SchemaMismatch, SinkRefused, SinkUnavailable
from projector.ports.copy import TargetIdentity
from projector.ports.diagnosis import SchemaLook
from projector.postgres.connections import Connections
from projector.postgres.encryption import encryption
from projector.postgres.generation import FIRST_GENERATION
from projector.postgres.properties import connected

CURRENT = "SELECT version_num FROM projector.alembic_version"
OWNER = """
SELECT quote_ident(current_user), quote_ident(pg_catalog.pg_get_userbyid(nspowner))
FROM pg_catalog.pg_namespace WHERE nspname = 'projector'"""
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
    return _revisions()[-1]


def dead_end(found: str) -> tuple[str, str] | None:
    """Why no step of this program leads on from a revision, and what to do; None when one does."""
    known = _revisions()
    if found in known:
        return None
    if found.isdecimal() and int(found) < int(known[0]):
        schemas = f"{FIRST_GENERATION.definition.schema}, projector, {FIRST_GENERATION.schema}"
        return (
            f"the schema is at {found}, of a program that was never released, and nothing leads on from it",
            f"type: DROP SCHEMA {schemas} CASCADE, and start again: what PROJECTOR_START_FROM covers is read anew",
        )
    return (
        f"the schema is newer than this program: it is at {found}, this program knows up to {known[-1]}",
        "install the newer program",
    )


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
        except psycopg.errors.InsufficientPrivilege as error:
            raise SinkRefused(_not_ours(connection)) from error
        asleep = [str(name) for (name,) in connection.execute(ASLEEP)]
    revision = None if row is None else str(row[0])
    return SchemaLook(
        revision=revision,
        encryption=protection,
        asleep=asleep,
        dead_end=None if revision is None else dead_end(revision),
    )


def _not_ours(connection: psycopg.Connection[Any]) -> str:
    """Who may look at the schema, and how we may, too."""
    me, owner = connection.execute(OWNER).fetchone() or ("", "")
    return (
        f"role {me} has no rights on the schema projector, which belongs to {owner}:"
        f" type, as {owner} or an administrator: GRANT {owner} TO {me}"
    )


def current(url: str) -> str | None:
    """The revision the database is at; None when it was never migrated. Raises as `look`."""
    return look(url).revision


def _revisions() -> list[str]:
    names = sorted((migrations_folder() / "versions").glob("[0-9]*_*.py"))
    if not names:
        raise SchemaMismatch("there are no migrations")
    return [one.name.partition("_")[0] for one in names]


MAY_TELL = "SELECT has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')"

HERE = """
SELECT {server} || '/' || d.oid, d.datname || COALESCE(
  ' at ' || host(inet_server_addr()) || ':' || inet_server_port(), ' on a local socket')
FROM pg_catalog.pg_database d WHERE d.datname = current_database()"""

STORED = "SELECT id::text, server FROM projector.target"

STORE = """
INSERT INTO projector.target AS t (id, server, made_at) VALUES (%(id)s, %(here)s, now())
ON CONFLICT (one_row) DO UPDATE
SET id = excluded.id, server = excluded.server, made_at = excluded.made_at
WHERE t.server <> excluded.server"""


async def identity(connections: Connections) -> TargetIdentity:
    """Look who this is. Raises: SinkUnavailable."""
    async with connections.session() as session:
        may_tell = await (await session.execute(MAY_TELL)).fetchone()
        server = "(SELECT system_identifier::text FROM pg_catalog.pg_control_system())"
        told = server if may_tell is not None and may_tell[0] else "'?'"
        where = await (await session.execute(HERE.replace("{server}", told))).fetchone()
        stored = await (await session.execute(STORED)).fetchone()
        if where is not None and (stored is None or stored[1] != where[0]):
            await session.execute(STORE, {"id": str(uuid.uuid4()), "here": where[0]})
            stored = await (await session.execute(STORED)).fetchone()
    if where is None or stored is None:  # pragma: no cover - both have one row by now
        raise SinkUnavailable("PostgreSQL did not tell which database it is")
    return TargetIdentity(id=stored[0], name=where[1])
