"""Request units that all hosts of a processor spend together: up to when they are booked."""

from __future__ import annotations

from alembic import op

revision = "0106"
down_revision = "0105"
branch_labels = None
depends_on = None

# A row for each processor, moved on several times a second. Not logged: what a crash of the server forgets
# is a moment's bookings.
REQUEST_UNITS = """
CREATE UNLOGGED TABLE projector.request_units (
    processor_name text NOT NULL,
    booked_until timestamptz NOT NULL,
    CONSTRAINT request_units_pkey PRIMARY KEY (processor_name)
) WITH (fillfactor = 10)"""


def upgrade() -> None:
    op.execute(REQUEST_UNITS)


def downgrade() -> None:
    op.execute("DROP TABLE projector.request_units")
