from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SOURCE_COLUMNS = (
    "account TEXT",
    "database_name TEXT",
    "container_name TEXT",
    "key_path TEXT",
    "projection TEXT",
    'described_rid TEXT COLLATE "C"',
)
QUARANTINE_COLUMNS = ("asked_at TIMESTAMP WITH TIME ZONE", "asked_by TEXT")


def upgrade() -> None:
    # An older program writes the container's id alone: the names count only for `described_rid`.
    for column in SOURCE_COLUMNS:
        op.execute(f"ALTER TABLE projector.source ADD COLUMN {column}")
    for column in QUARANTINE_COLUMNS:
        op.execute(f"ALTER TABLE projector.quarantine ADD COLUMN {column}")


def downgrade() -> None:
    for column in reversed(QUARANTINE_COLUMNS):
        op.execute(f"ALTER TABLE projector.quarantine DROP COLUMN {column.split()[0]}")
    for column in reversed(SOURCE_COLUMNS):
        op.execute(f"ALTER TABLE projector.source DROP COLUMN {column.split()[0]}")
