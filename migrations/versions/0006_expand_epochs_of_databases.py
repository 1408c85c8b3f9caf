from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A host may outlive its database. Epochs that begin with the time, in milliseconds, never come
    # again in a database that was made later, so what that host still holds fits no range there.
    op.execute("""
    SELECT setval('projector.epochs', GREATEST((SELECT last_value FROM projector.epochs),
      (extract(epoch FROM clock_timestamp()) * 1000)::bigint))
    """)


def downgrade() -> None:
    """Epochs never go back."""
