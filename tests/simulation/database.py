"""One migrated database per process, emptied between seeds: far cheaper than a new one each."""

from __future__ import annotations

import psycopg

_TABLES = """
SELECT string_agg(format('%I.%I', schemaname, tablename), ', ') FROM pg_tables
WHERE schemaname LIKE 'projector%' AND tablename <> 'alembic_version'
"""


def empty(url: str) -> None:
    """Remove every row of the service's schemas."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(_TABLES).fetchone()
        if row is not None and row[0]:
            connection.execute(f"TRUNCATE {row[0]} RESTART IDENTITY CASCADE")
