-- Failed jobs are counted, and their first and last moment found, in the index alone.

DROP INDEX job_by_fingerprint;
CREATE INDEX job_by_fingerprint ON job (fingerprint, id, finished_us) WHERE fingerprint IS NOT NULL;
