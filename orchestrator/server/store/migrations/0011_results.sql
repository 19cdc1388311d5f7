-- What came of a try, for people: how many lines it wrote, and a result that was none.

-- NULL where it was not counted from the beginning.
ALTER TABLE output ADD COLUMN lines BIGINT;
-- A result that is not what its kind promises; NULL for all others.
ALTER TABLE attempt ADD COLUMN raw_result TEXT;
