-- What a job waits for, until when it may begin, and until when it must be over.

-- 1 once another job depends on it: the end of any other job looks for nobody.
ALTER TABLE job ADD COLUMN awaited BIGINT NOT NULL DEFAULT 0;
-- Until when it may be started; NULL once a try may have begun, and for what may begin at any time.
ALTER TABLE job ADD COLUMN expires_us BIGINT;
-- Until when it must be over; NULL once it is being ended.
ALTER TABLE job ADD COLUMN deadline_us BIGINT;

CREATE INDEX job_expires ON job (expires_us) WHERE expires_us IS NOT NULL AND session_id IS NULL;
CREATE INDEX job_deadline ON job (deadline_us) WHERE deadline_us IS NOT NULL;

-- What is still open; a dependency that is met has no row any more.
CREATE TABLE job_dependency (
    job_id TEXT NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    parent_id TEXT NOT NULL,
    waits_for TEXT NOT NULL,
    on_failure TEXT NOT NULL,
    -- Why the job fails as soon as it is let go: its parent failed while it was held.
    failure TEXT,
    PRIMARY KEY (job_id, parent_id)
) WITHOUT ROWID;

CREATE INDEX job_dependency_by_parent ON job_dependency (parent_id) WHERE failure IS NULL;

-- Finished jobs with more dependants than one commit looks after.
CREATE TABLE dependency_due (
    parent_id TEXT PRIMARY KEY
) WITHOUT ROWID;
