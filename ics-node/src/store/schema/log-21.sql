-- The number of a submission is never used again, also once its result is no longer kept: whoever sent it in would take
-- somebody else's result for their own.
CREATE TABLE numbered (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    domain INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    -- NULL once it is done.
    body BLOB,
    at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    last_error TEXT,
    done_at INTEGER,
    -- The receipt or the problem, as JSON.
    result TEXT,
    UNIQUE (domain, hash)
) STRICT;
INSERT INTO numbered SELECT id, domain, hash, body, at, attempts, last_error, done_at, result FROM outbox ORDER BY id;
DROP TABLE outbox;
ALTER TABLE numbered RENAME TO outbox;
CREATE INDEX outbox_by_state ON outbox (domain, done_at, id);
