"""The control tables of one generation, as SQL: positions, replays, quarantine, reports.

They are the same for every definition. Those of the first generation stand in the schema `projector`, where
the migrations made them and change them; a later one brings its own, in the schema of its rows, as this
says. A migration that changes one of them changes it in every generation that is there, and here: a test
holds a new generation and the first one equal. Text that is a key, or is compared in order, is COLLATE "C",
so that the database orders as Python does, whatever its own collation.

What generations share stands in `projector` alone and is named with it: the source and its lock, the target's
id, the sequences of epochs and of groups of seen keys.
"""

from __future__ import annotations

TABLES = """
-- `read_since`: documents last changed before it were never asked for.
CREATE TABLE {control}.ranges (
    id bigint GENERATED ALWAYS AS IDENTITY,
    container_rid text COLLATE "C" NOT NULL,
    processor_name text COLLATE "C" NOT NULL,
    lease_token text COLLATE "C" NOT NULL,
    min_epk text COLLATE "C" NOT NULL,
    max_epk text COLLATE "C" NOT NULL,
    owner text COLLATE "C",
    epoch bigint NOT NULL,
    opened_epoch bigint NOT NULL,
    lineage integer NOT NULL,
    placed boolean NOT NULL DEFAULT false,
    continuation text,
    lsn bigint,
    position_time timestamptz,
    anchored_from text,
    tick bigint NOT NULL DEFAULT 0,
    recent_ticks bigint[] NOT NULL,
    read_tick bigint NOT NULL DEFAULT 0,
    purged_tick bigint NOT NULL DEFAULT 0,
    seen_group bigint,
    quarantined boolean NOT NULL DEFAULT false,
    opened_at timestamptz NOT NULL,
    retired_at timestamptz,
    last_commit_at timestamptz,
    read_since timestamptz,
    CONSTRAINT ranges_pkey PRIMARY KEY (id),
    CONSTRAINT ranges_identity UNIQUE (container_rid, min_epk, max_epk, lease_token),
    CONSTRAINT ranges_not_empty CHECK (min_epk < max_epk)
) WITH (fillfactor = 50);

-- Live ranges of a container never overlap, whoever opens them: what a host decided before it had the
-- lock is looked at again, and is tried again if another host was faster.
CREATE FUNCTION {control}.one_range_per_key() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  LOCK TABLE projector.source IN SHARE ROW EXCLUSIVE MODE;
  IF EXISTS (
    SELECT FROM {control}.ranges r
    WHERE r.id <> NEW.id AND r.retired_at IS NULL AND r.container_rid = NEW.container_rid
      AND r.min_epk < NEW.max_epk AND r.max_epk > NEW.min_epk) THEN
    RAISE serialization_failure USING MESSAGE = 'another host opened the same keys just now';
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER ranges_one_per_key AFTER INSERT OR UPDATE OF retired_at ON {control}.ranges
FOR EACH ROW WHEN (NEW.retired_at IS NULL) EXECUTE FUNCTION {control}.one_range_per_key();

CREATE TABLE {control}.replays (
    id bigint GENERATED ALWAYS AS IDENTITY,
    range_id bigint NOT NULL,
    phase text COLLATE "C" NOT NULL,
    mark_lsn bigint,
    seen_group bigint,
    requested_at timestamptz NOT NULL,
    started_at timestamptz,
    ended_at timestamptz,
    CONSTRAINT replays_pkey PRIMARY KEY (id),
    CONSTRAINT replays_range FOREIGN KEY (range_id) REFERENCES {control}.ranges (id) ON DELETE CASCADE,
    CONSTRAINT replays_phase
        CHECK (phase IN ('requested', 'running', 'done', 'replaced', 'inherited')),
    CONSTRAINT replays_running CHECK (phase <> 'running' OR seen_group IS NOT NULL)
);

CREATE UNIQUE INDEX replays_one_open ON {control}.replays (range_id)
WHERE phase IN ('requested', 'running');

-- Hashes do not compress; trying costs the batch that stores them.
CREATE TABLE {control}.replay_seen (
    seen_group bigint NOT NULL,
    part bigint GENERATED ALWAYS AS IDENTITY,
    keys_1 bigint[] NOT NULL,
    keys_2 bigint[] NOT NULL,
    CONSTRAINT replay_seen_pkey PRIMARY KEY (seen_group, part)
);
ALTER TABLE {control}.replay_seen
    ALTER COLUMN keys_1 SET STORAGE EXTERNAL, ALTER COLUMN keys_2 SET STORAGE EXTERNAL;

CREATE TABLE {control}.replay_candidates (
    range_id bigint NOT NULL,
    place bigint NOT NULL,
    partition_key text COLLATE "C" NOT NULL,
    document_id text COLLATE "C" NOT NULL,
    CONSTRAINT replay_candidates_pkey PRIMARY KEY (range_id, place)
);

-- `key`: of the row, where the document has a good one. `asked_by`: the rules under which the document
-- was asked for, at `asked_at`.
CREATE TABLE {control}.quarantine (
    id bigint GENERATED ALWAYS AS IDENTITY,
    key_1 bigint NOT NULL,
    key_2 bigint NOT NULL,
    partition_key text COLLATE "C" NOT NULL,
    document_id text COLLATE "C" NOT NULL,
    key text COLLATE "C",
    epk bigint,
    lineage integer NOT NULL,
    lsn bigint NOT NULL,
    ts bigint NOT NULL,
    etag text NOT NULL,
    status text COLLATE "C" NOT NULL,
    reason text COLLATE "C" NOT NULL,
    detail text NOT NULL,
    sqlstate text COLLATE "C",
    raw bytea NOT NULL,
    last_good jsonb,
    first_seen_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    closed_at timestamptz,
    count bigint NOT NULL DEFAULT 1,
    seen_group bigint,
    asked_at timestamptz,
    asked_by text,
    CONSTRAINT quarantine_pkey PRIMARY KEY (id),
    CONSTRAINT quarantine_identity UNIQUE (key_1, key_2),
    CONSTRAINT quarantine_status CHECK (status IN ('open', 'discarded', 'closed'))
);

CREATE INDEX quarantine_not_closed ON {control}.quarantine (epk) WHERE status <> 'closed';

-- `complete_at`: when the rows of a range were last known to be complete; it outlives owners, whose
-- reports begin with knowing nothing.
CREATE TABLE {control}.range_reports (
    lease_token text COLLATE "C" NOT NULL,
    min_epk text COLLATE "C" NOT NULL,
    max_epk text COLLATE "C" NOT NULL,
    range_id bigint NOT NULL,
    epoch bigint NOT NULL,
    owner text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    state_since timestamptz NOT NULL,
    last_poll_at timestamptz,
    gap_changes bigint,
    lag_seconds double precision,
    session_lsn bigint,
    caught_up_at timestamptz,
    failure jsonb,
    reported_at timestamptz NOT NULL,
    complete_at timestamptz,
    read_through jsonb,
    CONSTRAINT range_reports_pkey PRIMARY KEY (lease_token)
) WITH (fillfactor = 50);
"""

# `container_rid`: NULL until a process that fills has seen the container. `range_id`: what the lease says of its partition (version 1). `place`: a continuation of the feed, or the
# next page of a scan. `newest_ts`: of the documents loaded. `since`: those last changed before it are not.
FILL_PARTS = """
CREATE TABLE {control}.fill_parts (
    id bigint GENERATED ALWAYS AS IDENTITY,
    container_rid text COLLATE "C",
    lease_token text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    range_id text COLLATE "C",
    min_epk text COLLATE "C" NOT NULL,
    max_epk text COLLATE "C" NOT NULL,
    phase text COLLATE "C" NOT NULL DEFAULT 'waiting',
    epoch bigint NOT NULL DEFAULT 0,
    owner text COLLATE "C",
    held_until timestamptz,
    lineage integer NOT NULL DEFAULT 0,
    anchor text,
    anchor_lsn bigint,
    place text,
    since timestamptz,
    batches bigint NOT NULL DEFAULT 0,
    documents bigint NOT NULL DEFAULT 0,
    expected bigint,
    newest_ts bigint,
    request_units double precision NOT NULL DEFAULT 0,
    error text,
    began_at timestamptz,
    loaded_at timestamptz,
    CONSTRAINT fill_parts_pkey PRIMARY KEY (id),
    CONSTRAINT fill_parts_phase CHECK (phase IN ('waiting', 'loading', 'loaded')),
    CONSTRAINT fill_parts_not_empty CHECK (min_epk < max_epk)
) WITH (fillfactor = 50)"""


def control_statements(control: str) -> str:
    """SQL that makes the control tables in that schema, empty."""
    return TABLES.replace("{control}", control).strip()


def fill_statement(control: str) -> str:
    """SQL that makes the table of parts beside the control tables of a generation."""
    return FILL_PARTS.replace("{control}", control)
