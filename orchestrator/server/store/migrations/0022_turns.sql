-- Who waits, in the order of their turns, so that a claim reads only those whose turn it may be.

-- No job that waits in the line comes before this rank and id, or has a higher priority; they mean
-- nothing while nobody waits.
ALTER TABLE line ADD COLUMN least_rank BIGINT NOT NULL DEFAULT 0;
ALTER TABLE line ADD COLUMN least_id TEXT NOT NULL DEFAULT '';
ALTER TABLE line ADD COLUMN top_priority BIGINT NOT NULL DEFAULT 0;

-- Since when the line is known to be behind a closed gate of its own, and until when; NULL for as
-- long as nobody frees its key. Whoever frees one opens all lines that have it.
ALTER TABLE line ADD COLUMN shut_us BIGINT;
ALTER TABLE line ADD COLUMN shut_until_us BIGINT;

-- No turn of the key is before this moment; NULL only while nobody waits in a line that is not shut.
-- At that moment itself, none is of a lesser rank. Each line's key has a row.
ALTER TABLE turn ADD COLUMN turn_us BIGINT;
ALTER TABLE turn ADD COLUMN least_rank BIGINT NOT NULL DEFAULT 0;

CREATE INDEX job_urgency ON job (line_id, priority) WHERE state = 'queued';

UPDATE line SET
    least_rank = coalesce((
        SELECT min(job.rank) FROM job WHERE job.state = 'queued' AND job.line_id = line.id
    ), 0),
    top_priority = coalesce((
        SELECT max(job.priority) FROM job WHERE job.state = 'queued' AND job.line_id = line.id
    ), 0)
WHERE waiting = 1;

CREATE INDEX line_by_key ON line (queue, fairness_key);
CREATE INDEX line_order ON line (queue, fairness_key, least_rank, least_id, id)
    WHERE waiting = 1 AND shut_us IS NULL;
CREATE INDEX line_urgency ON line (queue, fairness_key, top_priority)
    WHERE waiting = 1 AND shut_us IS NULL;
CREATE INDEX line_shut ON line (queue, fairness_key) WHERE shut_us IS NOT NULL;
CREATE INDEX line_shut_since ON line (shut_us) WHERE shut_us IS NOT NULL;
CREATE INDEX line_shut_until ON line (shut_until_us) WHERE shut_until_us IS NOT NULL;

INSERT INTO turn (queue, fairness_key, served_us)
SELECT DISTINCT line.queue, line.fairness_key, 0 FROM line
WHERE NOT EXISTS (
    SELECT 1 FROM turn WHERE turn.queue = line.queue AND turn.fairness_key = line.fairness_key
);

-- No turn is before the rank of the job whose turn it is.
UPDATE turn SET turn_us = (
    SELECT min(line.least_rank) FROM line
    WHERE line.queue = turn.queue AND line.fairness_key = turn.fairness_key AND line.waiting = 1
);

UPDATE turn SET least_rank = turn_us WHERE turn_us IS NOT NULL;

CREATE INDEX turn_order ON turn (queue, turn_us, least_rank, fairness_key) WHERE turn_us IS NOT NULL;
CREATE INDEX turn_served ON turn (queue, served_us);
