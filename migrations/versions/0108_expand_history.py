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


def upgrade() -> None:
    text = STEP.read_text(encoding="utf-8")
    op.get_bind().connection.cursor().execute(text)
    op.execute(DEFINITION)


def downgrade() -> None:
    op.execute(FORMER_DEFINITION)
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION carts.{function}(timestamptz)")
    for view in VIEWS:
        op.execute(f"DROP VIEW carts.{view}")
    for what in ("added", "changed", "removed"):
        op.execute(f"DROP FUNCTION projector_g1.log_{what}() CASCADE")
    for table in TABLES:
        op.execute(f"DROP TABLE projector.{table}")
