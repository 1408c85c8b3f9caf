"""What is kept of the past can be published: without an identity the server would refuse its changes."""

from __future__ import annotations

from alembic import op

revision = "0111"
down_revision = "0110"
branch_labels = None
depends_on = None

IDENTIFY = """
DO $$
DECLARE
  one regclass;
BEGIN
  FOR one IN SELECT c.oid FROM pg_class AS c
    WHERE c.relnamespace = to_regnamespace('projector') AND c.relkind IN ('r', 'p')
      AND (c.relname IN ('cart_events', 'daily_totals', 'daily_amounts', 'daily_item_totals') OR EXISTS (
        SELECT FROM pg_inherits AS i WHERE i.inhrelid = c.oid
          AND i.inhparent = to_regclass('projector.cart_events')))
  LOOP
    EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', one);
  END LOOP;
END
$$"""


def upgrade() -> None:
    op.execute(IDENTIFY)


def downgrade() -> None:
    op.execute(IDENTIFY.replace("FULL", "DEFAULT"))
