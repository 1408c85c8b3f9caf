"""What those who query may count on: every view and function of the schema, as the server knows it.

`tests/views.txt` is what it was said to be; a test compares. Names, types, order, comments, what may be
NULL and what tells rows apart: reports stand on all of it. A line may be added; a line that is changed or
gone breaks somebody's report and belongs into the changelog. `python -m tests.views_contract` writes the
file anew.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg

from projector.postgres.embedded import EmbeddedPostgres
from projector.postgres.generation import FIRST_GENERATION
from projector.postgres.migrate import upgrade
from projector.postgres.views import views_of

FROZEN = Path(__file__).parent / "views.txt"
SCHEMA = FIRST_GENERATION.definition.schema
DECLARED = {view.name: view for view in views_of(FIRST_GENERATION)}

RELATIONS = """
SELECT c.relname, obj_description(c.oid), array_agg(
  ARRAY[a.attname::text, format_type(a.atttypid, a.atttypmod), col_description(c.oid, a.attnum)]
  ORDER BY a.attnum)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = %s::regnamespace GROUP BY c.oid ORDER BY c.relname"""

ROUTINES = """
SELECT proname, pg_get_function_identity_arguments(oid), pg_get_function_result(oid),
  obj_description(oid)
FROM pg_proc WHERE pronamespace = %s::regnamespace ORDER BY proname, 2"""


def told(connection: psycopg.Connection[tuple[object, ...]]) -> str:
    """The contract of a migrated database, one line per column."""
    return "\n".join([*_views(connection), *_functions(connection), ""])


def _views(connection: psycopg.Connection[tuple[object, ...]]) -> Iterator[str]:
    for name, comment, columns in connection.execute(RELATIONS, [SCHEMA]):
        view = DECLARED.get(str(name))
        yield f"{SCHEMA}.{name}: {comment}"
        assert isinstance(columns, list)
        for column, kind, meaning in columns:
            key = ", key" if view and column in view.key else ""
            null = ", may be NULL" if view and column in view.optional else ""
            yield f"  {column} {kind}{key}{null}: {meaning}"
        yield ""


def _functions(connection: psycopg.Connection[tuple[object, ...]]) -> Iterator[str]:
    for name, arguments, result, comment in connection.execute(ROUTINES, [SCHEMA]):
        yield f"{SCHEMA}.{name}({arguments}) -> {result}: {comment}"


def main() -> None:
    """Writes the file anew, from a database that is made for it."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder) / "pg") as server:
        upgrade(server.url)
        with psycopg.connect(server.url) as connection:
            FROZEN.write_text(told(connection), "utf-8")


if __name__ == "__main__":
    main()
