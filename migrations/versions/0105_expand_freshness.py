"""Freshness in words, and functions for readers: is_fresh, includes, wait_until_includes."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0105"
down_revision = "0104"
branch_labels = None
depends_on = None

STEPS = Path(__file__).parent.parent / "steps"


def upgrade() -> None:
    _run("0105_freshness.sql")


def downgrade() -> None:
    _run("0105_freshness_down.sql")


def _run(name: str) -> None:
    op.get_bind().connection.cursor().execute((STEPS / name).read_text(encoding="utf-8"))
