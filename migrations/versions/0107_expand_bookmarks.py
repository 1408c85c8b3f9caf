"""Bookmarks that were saved under a name."""

from __future__ import annotations

from alembic import op

revision = "0107"
down_revision = "0106"
branch_labels = None
depends_on = None

# The document is that of a file: see docs/reference/bookmarks.md.
BOOKMARKS = """
CREATE TABLE projector.bookmarks (
    name text COLLATE "C" NOT NULL,
    taken_at timestamptz NOT NULL,
    container_rid text COLLATE "C" NOT NULL,
    document jsonb NOT NULL,
    CONSTRAINT bookmarks_pkey PRIMARY KEY (name)
)"""


def upgrade() -> None:
    op.execute(BOOKMARKS)


def downgrade() -> None:
    op.execute("DROP TABLE projector.bookmarks")
