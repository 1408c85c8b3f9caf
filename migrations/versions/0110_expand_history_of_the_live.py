"""`carts.history` tells of the generation that is live, whichever that is."""

from __future__ import annotations

from alembic import op

revision = "0110"
down_revision = "0109"
branch_labels = None
depends_on = None

# The view stands as it is, but for the number; where the live definition keeps no history, there is none.
BY_NUMBER = r"generation = \d+"
BY_STATE = r"generation = \( *SELECT .*'live'::text\)\)"
LIVE = "generation = (SELECT g.id FROM projector.generations AS g WHERE g.state = 'live')"
TEXT = "pg_get_viewdef('carts.history'::regclass)"


def upgrade() -> None:
    _replace(BY_NUMBER, f"$live${LIVE}$live$")


def downgrade() -> None:
    _replace(
        BY_STATE,
        "format('generation = %s', (SELECT id FROM projector.generations WHERE state = 'live'))",
    )


def _replace(pattern: str, by: str) -> None:
    op.execute(
        f"""
DO $$
BEGIN
  IF to_regclass('carts.history') IS NOT NULL THEN
    EXECUTE 'CREATE OR REPLACE VIEW carts.history AS '
      || regexp_replace({TEXT}, $was${pattern}$was$, {by});
  END IF;
END
$$""".replace(":", "\\:")
    )
