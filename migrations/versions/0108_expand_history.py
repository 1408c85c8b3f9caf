"""What is kept of the past: what happened to each line, the state of each day, and the views that tell it."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0108"
down_revision = "0107"
branch_labels = None
depends_on = None

STEP = Path(__file__).parent.parent / "steps" / "0108_history.sql"
VIEWS = (
    "abandoned_carts",
    "daily_item_totals",
    "daily_amounts",
    "daily_totals",
    "cart_events",
    "history",
)
FUNCTIONS = (
    "item_totals_as_of",
    "cart_amounts_as_of",
    "cart_totals_as_of",
    "cart_items_as_of",
    "history_reaches",
)
TABLES = (
    "cart_events",
    "daily_totals",
    "daily_amounts",
    "daily_item_totals",
    "days",
    "history_settings",
    "history",
)

# The first generation's definition says it, too; nothing of its rows is another.
DEFINITION = """
UPDATE projector.generations SET definition_hash = '60a9eec09ca7',
  definition = jsonb_set(jsonb_set(jsonb_set(
      definition, '{totals,0,per_day}', '"daily_totals"'),
      '{totals,0,bucket,per_day}', '"daily_amounts"'),
      '{totals,1,per_day}', '"daily_item_totals"')
    || '{"history": {"events": "cart_events", "abandoned": "abandoned_carts", "touched": "item",
         "touched_as": "last_item"}}'
WHERE definition_hash = '177db8b676a7'"""

FORMER_DEFINITION = """
UPDATE projector.generations SET definition_hash = '177db8b676a7',
  definition = (definition - 'history') #- '{totals,0,per_day}' #- '{totals,0,bucket,per_day}'
    #- '{totals,1,per_day}'
WHERE definition_hash = '60a9eec09ca7'"""

# Whichever generations are there: the first one may be gone, and others would write to a log that is not there.
FORGET_LOGGING = """
DO $$
DECLARE
  one regprocedure;
BEGIN
  FOR one IN SELECT p.oid FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname ~ '^projector_g[0-9]+$' AND p.pronargs = 0
      AND p.proname IN ('log_added', 'log_changed', 'log_removed')
  LOOP
    EXECUTE format('DROP FUNCTION %s CASCADE', one);
  END LOOP;
END
$$"""


def upgrade() -> None:
    text = STEP.read_text(encoding="utf-8")
    op.get_bind().connection.cursor().execute(text)
    op.execute(DEFINITION)


def downgrade() -> None:
    op.execute(FORMER_DEFINITION)
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION IF EXISTS carts.{function}(timestamptz)")
    for view in VIEWS:
        op.execute(f"DROP VIEW IF EXISTS carts.{view}")
    op.execute(FORGET_LOGGING)
    for table in TABLES:
        op.execute(f"DROP TABLE projector.{table}")
