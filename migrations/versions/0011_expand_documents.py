from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The container may hold an id that starts with a backslash. So the mark of an entry that nobody
    # can ask for moves from its document's key to the key of its partition, where no good one has
    # it. Entries with a cart are of documents whose id is good.
    op.execute("""
    UPDATE projector.quarantine q SET partition_key = k.partition_key,
      key_1 = hashtextextended(k.partition_key || chr(1) || q.document_id, 0),
      key_2 = hashtextextended(k.partition_key || chr(1) || q.document_id, 24301)
    FROM (SELECT id, chr(92) || partition_key AS partition_key FROM projector.quarantine
      WHERE cart_id IS NULL AND left(document_id, 1) = chr(92)
        AND left(partition_key, 1) <> chr(92)) k
    WHERE q.id = k.id AND NOT EXISTS (SELECT FROM projector.quarantine o
      WHERE o.key_1 = hashtextextended(k.partition_key || chr(1) || q.document_id, 0)
        AND o.key_2 = hashtextextended(k.partition_key || chr(1) || q.document_id, 24301))
    """)


def downgrade() -> None:
    """Older releases take such entries for what they are, too."""
