from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

STATEMENTS = (
    # Who has a job, and until when unless it says so again. A lock that goes with its session would be
    # an advisory one, and those can be taken by whoever may connect. The release before takes no notice.
    (
        'ALTER TABLE projector.housekeeping_runs ADD COLUMN holder text COLLATE "C",'
        " ADD COLUMN held_until timestamptz"
    ),
    # Live ranges of a container never overlap, whichever release opens them: what a host decided before
    # it had the lock is looked at again, and is tried again if another host was faster.
    """
    CREATE FUNCTION projector.one_range_per_key() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
      LOCK TABLE projector.source IN SHARE ROW EXCLUSIVE MODE;
      IF EXISTS (
        SELECT FROM projector.ranges r
        WHERE r.id <> NEW.id AND r.retired_at IS NULL AND r.container_rid = NEW.container_rid
          AND r.min_epk < NEW.max_epk AND r.max_epk > NEW.min_epk) THEN
        RAISE serialization_failure USING MESSAGE = 'another host opened the same keys just now';
      END IF;
      RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER ranges_one_per_key AFTER INSERT OR UPDATE OF retired_at ON projector.ranges
    FOR EACH ROW WHEN (NEW.retired_at IS NULL) EXECUTE FUNCTION projector.one_range_per_key()
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TRIGGER ranges_one_per_key ON projector.ranges")
    op.execute("DROP FUNCTION projector.one_range_per_key()")
    op.execute("ALTER TABLE projector.housekeeping_runs DROP COLUMN holder, DROP COLUMN held_until")
