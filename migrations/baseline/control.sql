-- The control tables: the same for every projection. Text that is a key, or is compared in order, is
-- COLLATE "C", so that the database orders as Python does, whatever its own collation.

-- A host may outlive its database. Epochs that begin with the time, in milliseconds, never come again in
-- a database that was made later, so what that host still holds fits no range there.
CREATE SEQUENCE projector.epochs;
SELECT setval('projector.epochs', (extract(epoch FROM clock_timestamp()) * 1000)::bigint);

CREATE SEQUENCE projector.seen_groups;

-- Which container is copied, and what it is called; the names are NULL until a host has told them.
CREATE TABLE projector.source (
    one_row boolean NOT NULL DEFAULT true,
    container_rid text COLLATE "C" NOT NULL,
    accepted_at timestamptz NOT NULL,
    account text,
    database_name text,
    container_name text,
    key_path text,
    projection text,
    CONSTRAINT source_pkey PRIMARY KEY (one_row),
    CONSTRAINT source_one_row CHECK (one_row)
);

-- Leases tell which database they are for. `server` is where the id was made: a copy of the database,
-- beside the original, gets one of its own.
CREATE TABLE projector.target (
    one_row boolean NOT NULL DEFAULT true,
    id uuid NOT NULL,
    server text COLLATE "C" NOT NULL,
    made_at timestamptz NOT NULL,
    CONSTRAINT target_pkey PRIMARY KEY (one_row),
    CONSTRAINT target_one_row CHECK (one_row)
);

-- `read_since`: documents last changed before it were never asked for.
CREATE TABLE projector.ranges (
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
END $$;

CREATE TRIGGER ranges_one_per_key AFTER INSERT OR UPDATE OF retired_at ON projector.ranges
FOR EACH ROW WHEN (NEW.retired_at IS NULL) EXECUTE FUNCTION projector.one_range_per_key();

CREATE TABLE projector.replays (
    id bigint GENERATED ALWAYS AS IDENTITY,
    range_id bigint NOT NULL,
    phase text COLLATE "C" NOT NULL,
    mark_lsn bigint,
    seen_group bigint,
    requested_at timestamptz NOT NULL,
    started_at timestamptz,
    ended_at timestamptz,
    CONSTRAINT replays_pkey PRIMARY KEY (id),
    CONSTRAINT replays_range FOREIGN KEY (range_id) REFERENCES projector.ranges (id) ON DELETE CASCADE,
    CONSTRAINT replays_phase
        CHECK (phase IN ('requested', 'running', 'done', 'replaced', 'inherited')),
    CONSTRAINT replays_running CHECK (phase <> 'running' OR seen_group IS NOT NULL)
);

CREATE UNIQUE INDEX replays_one_open ON projector.replays (range_id)
WHERE phase IN ('requested', 'running');

-- Hashes do not compress; trying costs the batch that stores them.
CREATE TABLE projector.replay_seen (
    seen_group bigint NOT NULL,
    part bigint GENERATED ALWAYS AS IDENTITY,
    keys_1 bigint[] NOT NULL,
    keys_2 bigint[] NOT NULL,
    CONSTRAINT replay_seen_pkey PRIMARY KEY (seen_group, part)
);
ALTER TABLE projector.replay_seen
    ALTER COLUMN keys_1 SET STORAGE EXTERNAL, ALTER COLUMN keys_2 SET STORAGE EXTERNAL;

CREATE TABLE projector.replay_candidates (
    range_id bigint NOT NULL,
    place bigint NOT NULL,
    partition_key text COLLATE "C" NOT NULL,
    document_id text COLLATE "C" NOT NULL,
    CONSTRAINT replay_candidates_pkey PRIMARY KEY (range_id, place)
);

-- `key`: of the row, where the document has a good one. `asked_by`: the rules under which the document
-- was asked for, at `asked_at`.
CREATE TABLE projector.quarantine (
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

CREATE INDEX quarantine_not_closed ON projector.quarantine (epk) WHERE status <> 'closed';

-- `complete_at`: when the rows of a range were last known to be complete; it outlives owners, whose
-- reports begin with knowing nothing.
CREATE TABLE projector.range_reports (
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
    CONSTRAINT range_reports_pkey PRIMARY KEY (lease_token)
) WITH (fillfactor = 50);

-- Who has a job, and until when unless it says so again. A lock that goes with its session would be an
-- advisory one, and those can be taken by whoever may connect.
CREATE TABLE projector.housekeeping_runs (
    job text COLLATE "C" NOT NULL,
    last_started_at timestamptz NOT NULL,
    last_ended_at timestamptz,
    last_success_at timestamptz,
    last_error text,
    result jsonb,
    holder text COLLATE "C",
    held_until timestamptz,
    CONSTRAINT housekeeping_runs_pkey PRIMARY KEY (job)
);
