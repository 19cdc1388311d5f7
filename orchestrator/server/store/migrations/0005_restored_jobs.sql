-- What a backup that was brought back says of its jobs.

-- Tries up to this number may have run after the backup was made, so the next one is numbered behind
-- it. NULL for a job that was never brought back.
ALTER TABLE job ADD COLUMN attempt_floor BIGINT;
