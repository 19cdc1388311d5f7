-- The policy on attempts: which jobs may be started only once, and for how long an absent worker is
-- waited for.
--
-- job.retry is now JSON [tries, first pause, factor, longest pause, which failures …].

ALTER TABLE job ADD COLUMN execution TEXT NOT NULL DEFAULT 'at_least_once';
-- How much longer than its lease an attempt is waited for.
ALTER TABLE job ADD COLUMN reattach_us BIGINT NOT NULL DEFAULT 0;
