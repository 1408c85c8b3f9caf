"""One migrated database per process, emptied between seeds: far cheaper than a new one each.

A standby is a copy of all rows and sequences at one moment; failing over to it brings all of them
back together, as after the loss of the last commits or after a restore.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

# What a migration has filled stays; the parts of a table go with it.
_TABLES = """
SELECT string_agg(format('%I.%I', n.nspname, c.relname), ', ')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname LIKE 'projector%' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND c.relname NOT IN ('alembic_version', 'generations', 'reigns', 'history_settings')
"""

_COLUMNS = """
SELECT format('%I.%I', n.nspname, c.relname), string_agg(quote_ident(attname), ', ' ORDER BY attnum)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
WHERE n.nspname LIKE 'projector%' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND c.relname NOT IN ('alembic_version', 'generations', 'reigns', 'history_settings')
GROUP BY 1
"""

_SEQUENCES = """
SELECT format('%I.%I', schemaname, sequencename), COALESCE(last_value, start_value),
  last_value IS NOT NULL
FROM pg_sequences WHERE schemaname LIKE 'projector%'
"""

_CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standby:
    """All rows, as COPY writes them, and all sequences."""

    tables: dict[tuple[str, str], bytes]
    sequences: tuple[tuple[str, int, bool], ...]


def empty(url: str) -> None:
    """Remove every row of the service's schemas, and start all sequences anew."""
    with psycopg.connect(url, autocommit=True) as connection:
        _clear(connection)
        for sequence, _, _ in connection.execute(_SEQUENCES).fetchall():
            connection.execute(f"ALTER SEQUENCE {sequence} RESTART")


def cut(url: str) -> None:
    """End every other session."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_CUT)


def standby(url: str) -> Standby:
    """A copy of the database as it is now."""
    with psycopg.connect(url) as connection:
        found = connection.execute(_COLUMNS).fetchall()
        return Standby(
            tables={
                (table, columns): _rows(connection, table, columns) for table, columns in found
            },
            sequences=tuple(connection.execute(_SEQUENCES).fetchall()),
        )


def fail_over(url: str, to: Standby | None) -> None:
    """Everybody is cut off; the copy takes over. None: an empty database does, with higher epochs."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_CUT)
        _clear(connection)
        if to is None:
            return
        connection.execute("SET session_replication_role = replica")
        for (table, columns), rows in to.tables.items():
            with connection.cursor().copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                copy.write(rows)
        for sequence in to.sequences:
            connection.execute("SELECT setval(%s::regclass, %s, %s)", sequence)


def _rows(connection: psycopg.Connection[Any], table: str, columns: str) -> bytes:
    with connection.cursor().copy(f"COPY (SELECT {columns} FROM {table}) TO STDOUT") as copy:
        return b"".join(bytes(piece) for piece in copy)


def _clear(connection: psycopg.Connection[Any]) -> None:
    row = connection.execute(_TABLES).fetchone()
    if row is not None and row[0]:
        connection.execute(f"TRUNCATE {row[0]} RESTART IDENTITY CASCADE")
