from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# Whoever may create functions in a schema of somebody's search_path may have his own called in place
# of the server's: with exact types they are the better match. So the function has a path of its own.
# It also says that it has counted, by emptying the setting that woke it: a copy that was not counted
# is not committed. The release before sets that setting anew in each transaction and reads it nowhere.
COUNTS = """
INSERT INTO projector_g1.cart_totals AS c
    (cart_id, bucket, line_count, total_quantity, total_amount)
  SELECT cart_id, CASE WHEN unit_price IS NULL THEN '' ELSE COALESCE(currency, '-') END AS bucket,
    count(*), sum(quantity), COALESCE(sum(quantity * unit_price), 0)
  FROM copied WHERE NOT deleted
  GROUP BY 1, 2 ORDER BY 1, 2
  ON CONFLICT (cart_id, bucket) DO UPDATE SET
    line_count = c.line_count + excluded.line_count,
    total_quantity = c.total_quantity + excluded.total_quantity,
    total_amount = c.total_amount + excluded.total_amount;
  INSERT INTO projector_g1.item_totals AS i (item, line_count, total_quantity)
  SELECT item, count(*), sum(quantity) FROM copied WHERE NOT deleted
  GROUP BY 1 ORDER BY 1
  ON CONFLICT (item) DO UPDATE SET
    line_count = i.line_count + excluded.line_count,
    total_quantity = i.total_quantity + excluded.total_quantity;
  IF current_setting('projector.copied') <> 'alone' THEN
    INSERT INTO projector.replay_seen (seen_group, keys_1, keys_2)
    SELECT current_setting('projector.copied')::bigint,
      array_agg(hashtextextended(cart_id || chr(1) || id, 0)),
      array_agg(hashtextextended(cart_id || chr(1) || id, 24301)) FROM copied;
  END IF;
"""


def upgrade() -> None:
    op.execute(f"""
    CREATE OR REPLACE FUNCTION projector_g1.count_copied() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
      {COUNTS}
      PERFORM set_config('projector.copied', '', true);
      RETURN NULL;
    END $$
    """)


def downgrade() -> None:
    op.execute(f"""
    CREATE OR REPLACE FUNCTION projector_g1.count_copied() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      {COUNTS}
      RETURN NULL;
    END $$
    """)
