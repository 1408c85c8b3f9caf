from __future__ import annotations

import os

from alembic import context
from sqlalchemy import Connection, text

from projector.postgres.migrate import VERSION_SCHEMA, engine


def migrate_over(connection: Connection) -> None:
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {VERSION_SCHEMA}"))
    context.configure(connection=connection, version_table_schema=VERSION_SCHEMA)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    migrate_over(given)
else:  # the bare `alembic` command, for those who write migrations
    with engine(os.environ["PROJECTOR_DATABASE_URL"]).begin() as connection:
        migrate_over(connection)
