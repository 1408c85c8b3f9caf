"""What the console draws: lag and documents by the minute, for a day."""

from __future__ import annotations

from alembic import op

revision = "0101"
down_revision = "0100"
branch_labels = None
depends_on = None

# One row for a minute, whichever hosts add to it. `unknown`: somebody could not tell the lag then.
SAMPLES = """
CREATE TABLE projector.samples (
    minute timestamptz NOT NULL,
    documents bigint NOT NULL,
    lag_seconds double precision,
    unknown boolean NOT NULL,
    CONSTRAINT samples_pkey PRIMARY KEY (minute)
) WITH (fillfactor = 50)"""


def upgrade() -> None:
    op.execute(SAMPLES)


def downgrade() -> None:
    op.execute("DROP TABLE projector.samples")
