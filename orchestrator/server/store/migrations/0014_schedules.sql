-- Schedules: what is submitted again and again, and what became of each of their moments.

CREATE TABLE schedule (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    spec TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    changed_us BIGINT NOT NULL,
    -- Where an interval is counted from.
    anchor_us BIGINT NOT NULL,
    paused_us BIGINT,
    paused_by TEXT,
    -- Up to here everything is decided.
    considered_us BIGINT NOT NULL,
    next_us BIGINT,
    -- When to look again: the next moment and its share of the jitter. NULL if nothing will come.
    due_us BIGINT
) WITHOUT ROWID;

CREATE INDEX schedule_due ON schedule (due_us) WHERE due_us IS NOT NULL;

CREATE TABLE schedule_fire (
    schedule_id TEXT NOT NULL REFERENCES schedule (id) ON DELETE CASCADE,
    fire_us BIGINT NOT NULL,
    -- A moment of the rule, one that local time left out, or a person's wish.
    origin TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT,
    detail TEXT,
    -- No reference: the line stays when its job is forgotten.
    job_id TEXT,
    -- A row may speak of many moments: the last of them, and how many; NULL for more than are counted.
    through_us BIGINT,
    count BIGINT,
    recorded_us BIGINT NOT NULL,
    -- What makes a moment fire once, whoever looks at it, and however often.
    PRIMARY KEY (schedule_id, fire_us, origin)
) WITHOUT ROWID;

ALTER TABLE job ADD COLUMN schedule_id TEXT;

CREATE INDEX job_of_schedule ON job (schedule_id) WHERE schedule_id IS NOT NULL AND finished_us IS NULL;
