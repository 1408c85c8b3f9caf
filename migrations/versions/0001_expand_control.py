from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE SEQUENCE projector.epochs
    """,
    """
    CREATE SEQUENCE projector.seen_groups
    """,
    """
    CREATE TABLE projector.housekeeping_runs (
        job TEXT COLLATE "C" NOT NULL,
        last_started_at TIMESTAMP WITH TIME ZONE NOT NULL,
        last_ended_at TIMESTAMP WITH TIME ZONE,
        last_success_at TIMESTAMP WITH TIME ZONE,
        last_error TEXT,
        result JSONB,
        CONSTRAINT housekeeping_runs_pkey PRIMARY KEY (job)
    )
    """,
    """
    CREATE TABLE projector.quarantine (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        key_1 BIGINT NOT NULL,
        key_2 BIGINT NOT NULL,
        partition_key TEXT COLLATE "C" NOT NULL,
        document_id TEXT COLLATE "C" NOT NULL,
        cart_id TEXT COLLATE "C",
        epk BIGINT,
        lineage INTEGER NOT NULL,
        lsn BIGINT NOT NULL,
        ts BIGINT NOT NULL,
        etag TEXT NOT NULL,
        status TEXT COLLATE "C" NOT NULL,
        reason TEXT COLLATE "C" NOT NULL,
        detail TEXT NOT NULL,
        sqlstate TEXT COLLATE "C",
        raw BYTEA NOT NULL,
        last_good JSONB,
        first_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
        last_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
        closed_at TIMESTAMP WITH TIME ZONE,
        count BIGINT DEFAULT 1 NOT NULL,
        seen_group BIGINT,
        CONSTRAINT quarantine_pkey PRIMARY KEY (id),
        CONSTRAINT quarantine_identity UNIQUE (key_1, key_2),
        CONSTRAINT quarantine_status CHECK (status IN ('open', 'discarded', 'closed'))
    )
    """,
    """
    CREATE INDEX quarantine_not_closed ON projector.quarantine (epk) WHERE status <> 'closed'
    """,
    """
    CREATE TABLE projector.range_reports (
        lease_token TEXT COLLATE "C" NOT NULL,
        min_epk TEXT COLLATE "C" NOT NULL,
        max_epk TEXT COLLATE "C" NOT NULL,
        range_id BIGINT NOT NULL,
        epoch BIGINT NOT NULL,
        owner TEXT COLLATE "C" NOT NULL,
        state TEXT COLLATE "C" NOT NULL,
        state_since TIMESTAMP WITH TIME ZONE NOT NULL,
        last_poll_at TIMESTAMP WITH TIME ZONE,
        gap_changes BIGINT,
        lag_seconds DOUBLE PRECISION,
        session_lsn BIGINT,
        caught_up_at TIMESTAMP WITH TIME ZONE,
        failure JSONB,
        properties JSONB DEFAULT '{}'::jsonb NOT NULL,
        reported_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT range_reports_pkey PRIMARY KEY (lease_token)
    )
     WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE projector.ranges (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        container_rid TEXT COLLATE "C" NOT NULL,
        processor_name TEXT COLLATE "C" NOT NULL,
        lease_token TEXT COLLATE "C" NOT NULL,
        min_epk TEXT COLLATE "C" NOT NULL,
        max_epk TEXT COLLATE "C" NOT NULL,
        owner TEXT COLLATE "C",
        epoch BIGINT NOT NULL,
        opened_epoch BIGINT NOT NULL,
        lineage INTEGER NOT NULL,
        placed BOOLEAN DEFAULT false NOT NULL,
        continuation TEXT,
        lsn BIGINT,
        position_time TIMESTAMP WITH TIME ZONE,
        anchored_from TEXT,
        tick BIGINT DEFAULT 0 NOT NULL,
        recent_ticks BIGINT[] NOT NULL,
        read_tick BIGINT DEFAULT 0 NOT NULL,
        purged_tick BIGINT DEFAULT 0 NOT NULL,
        seen_group BIGINT,
        quarantined BOOLEAN DEFAULT false NOT NULL,
        opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
        retired_at TIMESTAMP WITH TIME ZONE,
        last_commit_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT ranges_pkey PRIMARY KEY (id),
        CONSTRAINT ranges_identity UNIQUE (container_rid, min_epk, max_epk, lease_token),
        CONSTRAINT ranges_not_empty CHECK (min_epk < max_epk)
    )
     WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE projector.replay_seen (
        seen_group BIGINT NOT NULL,
        part BIGINT GENERATED ALWAYS AS IDENTITY,
        keys_1 BIGINT[] NOT NULL,
        keys_2 BIGINT[] NOT NULL,
        CONSTRAINT replay_seen_pkey PRIMARY KEY (seen_group, part)
    )
    """,
    """
    ALTER TABLE projector.replay_seen ALTER COLUMN keys_1 SET STORAGE EXTERNAL
    """,
    """
    ALTER TABLE projector.replay_seen ALTER COLUMN keys_2 SET STORAGE EXTERNAL
    """,
    """
    CREATE TABLE projector.replay_candidates (
        range_id BIGINT NOT NULL,
        place BIGINT NOT NULL,
        partition_key TEXT COLLATE "C" NOT NULL,
        document_id TEXT COLLATE "C" NOT NULL,
        CONSTRAINT replay_candidates_pkey PRIMARY KEY (range_id, place)
    )
    """,
    """
    CREATE TABLE projector.source (
        one_row BOOLEAN DEFAULT true NOT NULL,
        container_rid TEXT COLLATE "C" NOT NULL,
        accepted_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT source_pkey PRIMARY KEY (one_row),
        CONSTRAINT source_one_row CHECK (one_row)
    )
    """,
    """
    CREATE TABLE projector.replays (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        range_id BIGINT NOT NULL,
        phase TEXT COLLATE "C" NOT NULL,
        mark_lsn BIGINT,
        seen_group BIGINT,
        requested_at TIMESTAMP WITH TIME ZONE NOT NULL,
        started_at TIMESTAMP WITH TIME ZONE,
        ended_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT replays_pkey PRIMARY KEY (id),
        CONSTRAINT replays_phase CHECK (phase IN ('requested', 'running', 'done', 'replaced', 'inherited')),
        CONSTRAINT replays_running CHECK (phase <> 'running' OR seen_group IS NOT NULL),
        CONSTRAINT replays_range FOREIGN KEY(range_id) REFERENCES projector.ranges (id) ON DELETE CASCADE
    )
    """,
    """
    CREATE UNIQUE INDEX replays_one_open ON projector.replays (range_id) WHERE phase IN ('requested', 'running')
    """,
)
TABLES = (
    "housekeeping_runs",
    "quarantine",
    "range_reports",
    "ranges",
    "replay_seen",
    "replay_candidates",
    "source",
    "replays",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    for table in reversed(TABLES):
        op.execute(f"DROP TABLE projector.{table}")
    op.execute("DROP SEQUENCE projector.epochs")
    op.execute("DROP SEQUENCE projector.seen_groups")
