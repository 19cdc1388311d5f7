-- Jobs beside which no other with the same key may be.

ALTER TABLE job ADD COLUMN unique_key TEXT;

-- Submits ask for what is not over, and, if it counts as well, for the newest that is.
CREATE INDEX job_unique_open ON job (unique_key) WHERE unique_key IS NOT NULL AND finished_us IS NULL;
CREATE INDEX job_unique ON job (unique_key, created_us)
    WHERE unique_key IS NOT NULL AND finished_us IS NOT NULL;
