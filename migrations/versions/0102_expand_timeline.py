"""What happened, and who did it, for as long as PROJECTOR_TIMELINE_DAYS says."""

from __future__ import annotations

from alembic import op

revision = "0102"
down_revision = "0101"
branch_labels = None
depends_on = None

# `once`: what tells the same happening when it is told again; the first telling stays.
TIMELINE = """
CREATE TABLE projector.timeline (
    id bigint GENERATED ALWAYS AS IDENTITY,
    happened_at timestamptz NOT NULL,
    kind text COLLATE "C" NOT NULL,
    subject text NOT NULL,
    detail jsonb NOT NULL,
    actor text NOT NULL,
    once text COLLATE "C",
    CONSTRAINT timeline_pkey PRIMARY KEY (id),
    CONSTRAINT timeline_once UNIQUE (once)
)"""


def upgrade() -> None:
    op.execute(TIMELINE)


def downgrade() -> None:
    op.execute("DROP TABLE projector.timeline")
