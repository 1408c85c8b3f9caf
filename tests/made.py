"""A database of a definition of its own, made from nothing: the product gets there by a rebuild alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from projector.postgres.freshness import function_statements
from projector.postgres.generation import Generation, quoted
from projector.postgres.past import routine_statements
from projector.postgres.tables import table_statements
from projector.postgres.views import comment_of_schema, reader_statement, views_of
from projector.projection.definition import Definition


def create(connection: psycopg.Connection[Any], generation: Generation) -> None:
    """Make a generation, empty, and point the views of its definition at it; in one transaction."""
    with connection.transaction():
        for statement in (
            *table_statements(generation),
            *schema_statements(generation.definition),
            *view_statements(generation),
        ):
            connection.execute(statement.encode())


def view_statements(generation: Generation) -> Sequence[str]:
    """SQL that points every view at one generation; existing views keep their grants."""
    schema = generation.definition.schema
    statements = []
    for view in views_of(generation):
        name = f"{schema}.{view.name}"
        statements.append(f"CREATE OR REPLACE VIEW {name} AS\n{view.query.strip()}")
        statements.append(f"COMMENT ON VIEW {name} IS {quoted(view.comment)}")
        statements.extend(
            f"COMMENT ON COLUMN {name}.{column} IS {quoted(comment)}"
            for column, comment in view.columns.items()
        )
    return [
        *statements,
        *function_statements(generation),
        *routine_statements(generation),
        reader_statement(generation.definition),
    ]


def schema_statements(definition: Definition) -> Sequence[str]:
    """SQL that makes the schema of the views, empty."""
    comment = quoted(comment_of_schema(definition))
    return [
        f"CREATE SCHEMA {definition.schema}",
        f"COMMENT ON SCHEMA {definition.schema} IS {comment}",
    ]
