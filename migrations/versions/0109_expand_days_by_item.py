"""An item's days are found by index: items times days are many rows after a year."""

from __future__ import annotations

from alembic import op

revision = "0109"
down_revision = "0108"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
DO $$
BEGIN
  IF to_regclass('projector.daily_item_totals_item') IS NULL THEN
    CREATE INDEX daily_item_totals_item ON projector.daily_item_totals USING hash ((item COLLATE pg_catalog."default"));
  END IF;
END
$$""")


def downgrade() -> None:
    op.execute("DROP INDEX IF EXISTS projector.daily_item_totals_item")
