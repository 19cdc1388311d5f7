-- Which workers are given no jobs, because jobs have failed on them for reasons of their machine.

-- A worker that never was in quarantine has no row. Its state and its moments: core/breaker.py.
CREATE TABLE breaker (
    worker_id TEXT PRIMARY KEY REFERENCES worker (id) ON DELETE CASCADE,
    state TEXT NOT NULL,
    since_us BIGINT NOT NULL,
    opened_us BIGINT NOT NULL,
    next_us BIGINT,
    trips BIGINT NOT NULL,
    why TEXT,
    cause TEXT,
    actor TEXT,
    CHECK (state = 'closed' OR state = 'open' OR state = 'half_open' OR state = 'forced')
) WITHOUT ROWID;

-- What speaks against a worker: the last failure of each job there.
CREATE TABLE worker_fault (
    worker_id TEXT NOT NULL REFERENCES worker (id) ON DELETE CASCADE,
    job_id TEXT NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    attempt BIGINT NOT NULL,
    reason TEXT NOT NULL,
    incident TEXT NOT NULL,
    -- What the failure has in common with others of the same fault of a job.
    subject TEXT NOT NULL,
    at_us BIGINT NOT NULL,
    -- doubt: it may be the machine's; elsewhere: the job succeeded on another one, so it is; excused:
    -- it failed on another one as well, so it is the job's.
    verdict TEXT NOT NULL,
    PRIMARY KEY (worker_id, job_id)
) WITHOUT ROWID;

CREATE INDEX worker_fault_by_job ON worker_fault (job_id);
CREATE INDEX worker_fault_by_subject ON worker_fault (subject);

-- 1 where the session satisfies what is asked for and is given none of it, being in quarantine. Its
-- own claims bring it up to date.
ALTER TABLE session_requirement ADD COLUMN barred BIGINT NOT NULL DEFAULT 0;
