"""A job that was put off did not fail: why it did not run stands beside its errors."""

from __future__ import annotations

from alembic import op

revision = "0104"
down_revision = "0103"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE projector.housekeeping_runs ADD COLUMN postponed text")


def downgrade() -> None:
    op.execute("ALTER TABLE projector.housekeeping_runs DROP COLUMN postponed")
