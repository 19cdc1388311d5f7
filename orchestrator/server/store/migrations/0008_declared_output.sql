-- What a worker declared at an attempt's end that its command wrote to each stream, kept or not; NULL
-- as long as nobody did. `missing_bytes` counts the command's own bytes as well.

ALTER TABLE attempt ADD COLUMN declared_stdout BIGINT;
ALTER TABLE attempt ADD COLUMN declared_stderr BIGINT;
