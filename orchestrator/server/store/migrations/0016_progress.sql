-- How far a try says that it is, as JSON, and the number of that word.

ALTER TABLE attempt ADD COLUMN progress TEXT;
ALTER TABLE attempt ADD COLUMN progress_seq BIGINT NOT NULL DEFAULT 0;
