"""One database per process, as it was made for a trade between seeds, and its standby.

A standby is a copy of the whole database at one moment, tables and views as they were made by then; failing
over to it brings all of them back together, as after the loss of the last commits or after a restore.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from projector.postgres.generation import FIRST_GENERATION
from projector.projection.definition_text import definition_hash, definition_to_json
from tests.fixtures.postgres import FIRST_WITH_STRATEGY, database_name
from tests.made import create
from tests.simulation.trade import Trade

PRISTINE, STANDBY = "pristine", "standby"

_OF_TRADE = """
UPDATE projector.generations SET schema_name = %s, definition = %s, definition_hash = %s WHERE id = 1"""

_SEQUENCES = """
SELECT format('%I.%I', schemaname, sequencename), last_value FROM pg_sequences
WHERE schemaname = 'projector' AND last_value IS NOT NULL"""

_CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()"""


def prepare(url: str, trade: Trade) -> None:
    """Make a migrated database one of that trade, and keep it as it is then."""
    generation = trade.generation
    if generation != FIRST_GENERATION:
        definition = generation.definition
        told = Jsonb(definition_to_json(definition), dumps=str)
        with psycopg.connect(url) as connection:
            create(connection, generation)
            connection.execute(_OF_TRADE, [generation.schema, told, definition_hash(definition)])
    _copy(url, to=PRISTINE)


def empty(url: str) -> None:
    """Make it as it was prepared."""
    _replace(url, by=PRISTINE)


def cut(url: str) -> None:
    """End every other session."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_CUT)


def copy_to_standby(url: str) -> None:
    """A standby is as the database is now; whoever is connected is cut off."""
    _copy(url, to=STANDBY)


def fail_over(url: str) -> None:
    """Everybody is cut off; the standby takes over, and stays."""
    _replace(url, by=STANDBY)


def lose(url: str) -> None:
    """Everybody is cut off; an empty database takes over, with higher epochs."""
    with psycopg.connect(url) as connection:
        reached = connection.execute(_SEQUENCES).fetchall()
    _replace(url, by=PRISTINE)
    with psycopg.connect(url) as connection:
        for sequence in reached:
            connection.execute("SELECT setval(%s::regclass, %s)", sequence)


def forget(url: str) -> None:
    """Drop the copies."""
    with _maintenance(url) as connection:
        for kind in (PRISTINE, STANDBY):
            connection.execute(_drop(f"{database_name(url)}_{kind}"))


def _copy(url: str, *, to: str) -> None:
    name = database_name(url)
    cut(url)
    with _maintenance(url) as connection:
        _make(connection, f"{name}_{to}", like=name)


def _replace(url: str, *, by: str) -> None:
    name = database_name(url)
    with _maintenance(url) as connection:
        _make(connection, name, like=f"{name}_{by}")


def _make(connection: psycopg.Connection[Any], name: str, *, like: str) -> None:
    connection.execute(_drop(name))
    strategy = "STRATEGY FILE_COPY" if connection.info.server_version >= FIRST_WITH_STRATEGY else ""
    connection.execute(
        sql.SQL("CREATE DATABASE {} TEMPLATE {} {}").format(
            sql.Identifier(name), sql.Identifier(like), sql.SQL(strategy)
        )
    )


def _drop(name: str) -> sql.Composed:
    return sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))


@contextmanager
def _maintenance(url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(url, dbname="postgres", autocommit=True) as connection:
        yield connection
