-- Which of its spool's requests a session was opened with: what comes late, or again, opens none.

ALTER TABLE session ADD COLUMN number BIGINT NOT NULL DEFAULT 0;
