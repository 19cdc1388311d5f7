-- Many jobs that belong together. How many are in which state is counted, and never kept.

CREATE TABLE batch (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    name TEXT,
    -- JSON: what its items leave out.
    defaults TEXT NOT NULL,
    max_fails BIGINT,
    created_us BIGINT NOT NULL,
    closed_us BIGINT,
    stopped_us BIGINT,
    -- Who ended it: a person, or `policy`.
    stopped_by TEXT,
    comment TEXT,
    -- Its jobs from this one on have been cancelled; NULL when there is nothing left to cancel.
    stopping_before TEXT
) WITHOUT ROWID;

CREATE INDEX batch_stopping ON batch (id) WHERE stopping_before IS NOT NULL;

ALTER TABLE job ADD COLUMN batch_id TEXT;

CREATE INDEX job_by_batch ON job (batch_id, id, state) WHERE batch_id IS NOT NULL;
CREATE INDEX job_failed_in_batch ON job (batch_id, id) WHERE batch_id IS NOT NULL AND state = 'failed';
CREATE INDEX job_retry_in_batch ON job (retry_of)
    WHERE retry_of IS NOT NULL AND batch_id IS NOT NULL;

ALTER TABLE idempotency ADD COLUMN batch_id TEXT REFERENCES batch (id) ON DELETE CASCADE;

CREATE INDEX idempotency_by_batch ON idempotency (batch_id) WHERE batch_id IS NOT NULL;
