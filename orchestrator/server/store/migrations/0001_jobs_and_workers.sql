-- The first shape: keys, machines, workers and their sessions; files; jobs with everything of theirs.
--
-- One text for every database. It is written for SQLite; another database reads BLOB as its own word
-- for bytes and leaves out WITHOUT ROWID (rows lie in the primary key's own tree: one page to write
-- where there would be two, and most of what a small commit costs is its pages).
--
-- Moments end in _us and are microseconds since the epoch, except those that end in _lease_us: they
-- are read from the lease clock, which stands still while no server runs.

CREATE TABLE lease_clock (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    now_lease_us BIGINT NOT NULL,
    -- Where the clock stood when this server started: no lease ends within one lease of that.
    floor_lease_us BIGINT NOT NULL
);

INSERT INTO lease_clock (one, now_lease_us, floor_lease_us) VALUES (1, 0, 0);

CREATE TABLE api_key (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    token_hash TEXT NOT NULL UNIQUE,
    scopes TEXT NOT NULL,
    created_us BIGINT NOT NULL
);

CREATE TABLE machine (
    id TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL UNIQUE,
    hostname TEXT NOT NULL,
    platform TEXT NOT NULL,
    arch TEXT NOT NULL,
    cpu_count BIGINT NOT NULL,
    memory_bytes BIGINT NOT NULL,
    python TEXT NOT NULL
);

CREATE TABLE worker (
    id TEXT PRIMARY KEY,
    machine_id TEXT NOT NULL REFERENCES machine (id),
    name TEXT NOT NULL,
    token_hash TEXT NOT NULL UNIQUE,
    registered_us BIGINT NOT NULL,
    -- The session that it opened last, whether or not it is over.
    session_id TEXT,
    UNIQUE (machine_id, name)
);

CREATE TABLE session (
    id TEXT PRIMARY KEY,
    worker_id TEXT NOT NULL REFERENCES worker (id) ON DELETE CASCADE,
    spool_id TEXT NOT NULL,
    version TEXT NOT NULL,
    slots BIGINT NOT NULL,
    platform TEXT NOT NULL,
    kinds TEXT NOT NULL,
    tags TEXT NOT NULL,
    opened_us BIGINT NOT NULL,
    renewed_us BIGINT NOT NULL,
    renewed_lease_us BIGINT NOT NULL,
    -- The number of the last claim that was given anything.
    claim_number BIGINT NOT NULL DEFAULT 0,
    ended_us BIGINT
);

CREATE INDEX session_by_worker ON session (worker_id, spool_id);
-- A worker has one session at a time, whatever the programs believe.
CREATE UNIQUE INDEX session_open ON session (worker_id) WHERE ended_us IS NULL;

CREATE TABLE requirement (
    id BIGINT PRIMARY KEY,
    kind TEXT NOT NULL,
    tags TEXT NOT NULL,
    platform TEXT,
    worker TEXT,
    -- When a job last came with it, give or take an hour.
    used_us BIGINT NOT NULL
);

CREATE TABLE session_requirement (
    session_id TEXT NOT NULL REFERENCES session (id) ON DELETE CASCADE,
    requirement_id BIGINT NOT NULL REFERENCES requirement (id) ON DELETE CASCADE,
    PRIMARY KEY (session_id, requirement_id)
) WITHOUT ROWID;

CREATE INDEX session_requirement_by_requirement ON session_requirement (requirement_id);

CREATE TABLE file (
    sha256 TEXT PRIMARY KEY,
    size BIGINT NOT NULL,
    created_us BIGINT NOT NULL,
    used_us BIGINT NOT NULL
);

CREATE INDEX file_by_use ON file (used_us);

CREATE TABLE job (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT,
    labels TEXT NOT NULL,
    priority BIGINT NOT NULL,
    -- No reference: once the job is finished, nobody needs to know what it asked for.
    requirement_id BIGINT NOT NULL,
    -- JSON [tries, first pause, factor, longest pause]; NULL for a job that is tried once.
    retry TEXT,
    max_lost BIGINT NOT NULL,
    run_at_us BIGINT,
    created_us BIGINT NOT NULL,

    state TEXT NOT NULL,
    reason TEXT,
    pending_reason TEXT,
    message TEXT,
    rank BIGINT NOT NULL,
    due_us BIGINT,
    failures BIGINT NOT NULL DEFAULT 0,
    lost BIGINT NOT NULL DEFAULT 0,
    -- Who is entitled: the session that may speak for this attempt. Nobody, when it is NULL.
    attempt BIGINT NOT NULL DEFAULT 0,
    session_id TEXT,
    worker_id TEXT,
    event_seq BIGINT NOT NULL,
    exit_code BIGINT,
    signal BIGINT,
    result TEXT,
    started_us BIGINT,
    finished_us BIGINT,

    -- Spelt out with OR, because SQLite builds a table for each IN (…) each time it checks a row:
    -- that doubled the price of a write.
    CHECK (
        state = 'scheduled' OR state = 'blocked' OR state = 'held' OR state = 'queued'
        OR state = 'leased' OR state = 'running' OR state = 'waiting' OR state = 'cancelling'
        OR state = 'succeeded' OR state = 'failed' OR state = 'cancelled' OR state = 'expired'
    ),
    CHECK ((due_us IS NOT NULL) = (state = 'scheduled')),
    CHECK ((finished_us IS NOT NULL) = (
        state = 'succeeded' OR state = 'failed' OR state = 'cancelled' OR state = 'expired'
    )),
    CHECK (state = 'waiting' OR (session_id IS NOT NULL) = (
        state = 'leased' OR state = 'running' OR state = 'cancelling'
    ))
) WITHOUT ROWID;

-- Each index is a page more in every commit that touches it, so there is none that nothing needs.
CREATE INDEX job_queue ON job (requirement_id, rank, id) WHERE state = 'queued';
CREATE INDEX job_due ON job (due_us) WHERE due_us IS NOT NULL;
CREATE INDEX job_held_by ON job (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX job_by_state ON job (state, id);

-- What was asked for never changes, so it lies apart from the row that does.
CREATE TABLE job_spec (
    job_id TEXT PRIMARY KEY REFERENCES job (id) ON DELETE CASCADE,
    spec TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE job_file (
    job_id TEXT NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    sha256 TEXT NOT NULL REFERENCES file (sha256),
    PRIMARY KEY (job_id, sha256)
) WITHOUT ROWID;

CREATE INDEX job_file_by_file ON job_file (sha256);

CREATE TABLE job_event (
    job_id TEXT NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    seq BIGINT NOT NULL,
    at_us BIGINT NOT NULL,
    type TEXT NOT NULL,
    attempt BIGINT,
    data TEXT,
    PRIMARY KEY (job_id, seq)
) WITHOUT ROWID;

CREATE TABLE attempt (
    job_id TEXT NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    number BIGINT NOT NULL,
    session_id TEXT NOT NULL,
    worker_id TEXT NOT NULL,
    claim_number BIGINT NOT NULL,
    claimed_us BIGINT NOT NULL,
    claimed_lease_us BIGINT NOT NULL,
    started_us BIGINT,
    finished_us BIGINT,
    pid BIGINT,
    outcome TEXT,
    reason TEXT,
    message TEXT,
    exit_code BIGINT,
    signal BIGINT,
    missing_bytes BIGINT NOT NULL DEFAULT 0,
    late_result TEXT,
    PRIMARY KEY (job_id, number)
) WITHOUT ROWID;

-- The output log of an attempt: up to 8 KiB of it here, more in part files (see server/output_log.py).
CREATE TABLE output (
    job_id TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    length BIGINT NOT NULL,
    digest BLOB NOT NULL,
    stdout_bytes BIGINT NOT NULL,
    stderr_bytes BIGINT NOT NULL,
    inline_frames BLOB,
    -- Frames of the middle that were over the cap: where they were, and how much of the command's own
    -- bytes they held.
    gap_start BIGINT NOT NULL DEFAULT 0,
    gap_end BIGINT NOT NULL DEFAULT 0,
    dropped_bytes BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (job_id, attempt),
    FOREIGN KEY (job_id, attempt) REFERENCES attempt (job_id, number) ON DELETE CASCADE
) WITHOUT ROWID;

CREATE TABLE output_part (
    job_id TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    start BIGINT NOT NULL,
    length BIGINT NOT NULL,
    own_bytes BIGINT NOT NULL,
    PRIMARY KEY (job_id, attempt, start),
    FOREIGN KEY (job_id, attempt) REFERENCES output (job_id, attempt) ON DELETE CASCADE
) WITHOUT ROWID;

-- The answer to a POST, for whoever sends it again. It lives as long as the job that it is about.
CREATE TABLE idempotency (
    principal TEXT NOT NULL,
    route TEXT NOT NULL,
    request_key TEXT NOT NULL,
    body_sha256 TEXT NOT NULL,
    reply BLOB NOT NULL,
    job_id TEXT REFERENCES job (id) ON DELETE CASCADE,
    created_us BIGINT NOT NULL,
    PRIMARY KEY (principal, route, request_key)
) WITHOUT ROWID;

CREATE INDEX idempotency_by_job ON idempotency (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX idempotency_by_age ON idempotency (created_us) WHERE job_id IS NULL;
