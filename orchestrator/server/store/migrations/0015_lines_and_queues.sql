-- Queues, and the lines in which jobs wait: one for each set of rules that can keep jobs back.

CREATE TABLE queue (
    name TEXT PRIMARY KEY,
    weight BIGINT NOT NULL DEFAULT 1,
    max_running BIGINT,
    -- Since when, by whom and why nothing of it is given out; NULL while it is.
    paused_us BIGINT,
    paused_by TEXT,
    paused_why TEXT,
    -- JSON: what its jobs are given that they do not say themselves.
    defaults TEXT NOT NULL DEFAULT '{}',
    -- How far it has come beside others. A matter of fairness, not of capacity.
    passed BIGINT NOT NULL DEFAULT 0
);

INSERT INTO queue (name) VALUES ('default');

-- When a fairness key was served last, where there was another one.
CREATE TABLE turn (
    queue TEXT NOT NULL,
    fairness_key TEXT NOT NULL,
    served_us BIGINT NOT NULL,
    PRIMARY KEY (queue, fairness_key)
) WITHOUT ROWID;

CREATE TABLE line (
    id BIGINT PRIMARY KEY,
    requirement_id BIGINT NOT NULL,
    queue TEXT NOT NULL,
    fairness_key TEXT NOT NULL,
    -- JSON [[[key, limit], …], [[key, count, window in µs], …]]; NULL for none, and then the number
    -- is even: whoever ends an attempt sees by that whether anybody else may wait for it.
    limits TEXT,
    -- A hint: 1 as soon as a job of it is queued; 0 only where a claim found none.
    waiting BIGINT NOT NULL,
    -- When a job last came into it, give or take an hour.
    used_us BIGINT NOT NULL
);

CREATE INDEX line_by_requirement ON line (requirement_id, waiting);
CREATE INDEX line_waiting ON line (queue) WHERE waiting = 1;

-- Which lines share a key; `kind` is `limit` or `rate`.
CREATE TABLE line_key (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    line_id BIGINT NOT NULL REFERENCES line (id) ON DELETE CASCADE,
    PRIMARY KEY (kind, name, line_id)
) WITHOUT ROWID;

CREATE INDEX line_key_by_line ON line_key (line_id);

-- Starts that a rate limit counts: of those jobs alone that have one.
CREATE TABLE rate_start (
    name TEXT NOT NULL,
    started_us BIGINT NOT NULL,
    job_id TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    PRIMARY KEY (name, started_us, job_id, attempt)
) WITHOUT ROWID;

CREATE INDEX rate_start_by_age ON rate_start (started_us);

ALTER TABLE job ADD COLUMN queue TEXT NOT NULL DEFAULT 'default';
-- 0 for a job that was finished before there were lines.
ALTER TABLE job ADD COLUMN line_id BIGINT NOT NULL DEFAULT 0;

-- Lines of jobs that are not over. Their numbers are small and even; those to come are of a hash.
INSERT INTO line (id, requirement_id, queue, fairness_key, waiting, used_us)
SELECT 2 * row_number() OVER (ORDER BY job.requirement_id, job.owner), job.requirement_id,
    'default', job.owner, 1, max(job.created_us)
FROM job WHERE job.finished_us IS NULL
GROUP BY job.requirement_id, job.owner;

UPDATE job SET line_id = (
    SELECT line.id FROM line
    WHERE line.requirement_id = job.requirement_id AND line.fairness_key = job.owner
)
WHERE finished_us IS NULL;

DROP INDEX job_queue;
CREATE INDEX job_queue ON job (line_id, rank, id) WHERE state = 'queued';
-- The lines of all attempts that live are counted in this index alone.
DROP INDEX job_held_by;
CREATE INDEX job_held_by ON job (session_id, line_id) WHERE session_id IS NOT NULL;
-- Unfinished jobs that hold keys: odd lines have limits.
CREATE INDEX job_limited ON job (line_id) WHERE finished_us IS NULL AND (line_id & 1) = 1;
