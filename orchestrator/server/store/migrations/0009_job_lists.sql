-- What lists show of a job and look for in it.

-- What it runs, in a line; NULL for jobs that were submitted before there was one.
ALTER TABLE job ADD COLUMN summary TEXT;

-- Most jobs have no name, and cost nothing here.
CREATE INDEX job_by_name ON job (name, id) WHERE name IS NOT NULL;
