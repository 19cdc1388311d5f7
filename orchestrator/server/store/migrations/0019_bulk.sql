-- Orders for all jobs that a filter means: how far each has come, so that it goes on after a crash.

CREATE TABLE bulk (
    id TEXT PRIMARY KEY,
    -- What the preview said. An order that is sent twice is one order.
    token TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    q TEXT NOT NULL,
    action TEXT NOT NULL,
    -- From when ages in the filter are counted, and the last job that was there.
    at_us BIGINT NOT NULL,
    upto TEXT NOT NULL,
    expected BIGINT NOT NULL,
    done BIGINT NOT NULL DEFAULT 0,
    refused BIGINT NOT NULL DEFAULT 0,
    -- Behind which job it goes on.
    position TEXT NOT NULL DEFAULT '',
    created_us BIGINT NOT NULL,
    finished_us BIGINT
) WITHOUT ROWID;

CREATE INDEX bulk_open ON bulk (id) WHERE finished_us IS NULL;
