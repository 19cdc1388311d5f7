-- What a job's story needs: when its worker was silent, what its tries left behind, which job it repeats.

-- Since when its worker is shown as offline; NULL while it is heard of.
ALTER TABLE session ADD COLUMN offline_us BIGINT;
-- Processes that the command had left behind and that were killed.
ALTER TABLE attempt ADD COLUMN leftovers BIGINT NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN retry_of TEXT;
-- When a held job would have fallen due; NULL if it was due already.
ALTER TABLE job ADD COLUMN held_due_us BIGINT;
-- What failed jobs of one kind have in common; NULL for all others.
ALTER TABLE job ADD COLUMN fingerprint TEXT;
ALTER TABLE job ADD COLUMN last_words TEXT;

CREATE INDEX job_by_fingerprint ON job (fingerprint, id) WHERE fingerprint IS NOT NULL;
