"""The first release: control tables, the generation of carts, and its views.

Frozen: what changes from here on comes as steps. Numbers below 0100 are of programs that were never
released.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0100"
down_revision = None
branch_labels = None
depends_on = None

PARTS = Path(__file__).parent.parent / "baseline"
CONTROL = (
    "housekeeping_runs",
    "range_reports",
    "quarantine",
    "replay_candidates",
    "replay_seen",
    "replays",
    "ranges",
    "target",
    "source",
)


# All of them: the first one may be gone, and others may have come.
GENERATIONS = """
DO $$
DECLARE
  one regnamespace;
BEGIN
  FOR one IN SELECT oid FROM pg_namespace WHERE nspname ~ '^projector_g[0-9]+$' LOOP
    EXECUTE format('DROP SCHEMA %s CASCADE', one);
  END LOOP;
END
$$"""


def upgrade() -> None:
    for part in ("control", "generation", "views"):
        text = (PARTS / f"{part}.sql").read_text(encoding="utf-8")
        op.get_bind().connection.cursor().execute(text)


def downgrade() -> None:
    op.execute("DROP SCHEMA carts CASCADE")
    op.execute(GENERATIONS)
    for table in CONTROL:
        op.execute(f"DROP TABLE projector.{table}")
    op.execute("DROP FUNCTION projector.one_range_per_key()")
    op.execute("DROP SEQUENCE projector.epochs, projector.seen_groups")
