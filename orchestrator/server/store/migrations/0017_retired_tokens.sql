-- Tokens of workers that were renewed: each is accepted until its moment, so that nobody is locked
-- out by a reply that was lost.

CREATE TABLE retired_token (
    token_hash TEXT PRIMARY KEY,
    worker_id TEXT NOT NULL REFERENCES worker (id) ON DELETE CASCADE,
    until_us BIGINT NOT NULL
) WITHOUT ROWID;

CREATE INDEX retired_token_by_end ON retired_token (until_us);
-- All of one worker end when it is renewed again.
CREATE INDEX retired_token_by_worker ON retired_token (worker_id);
