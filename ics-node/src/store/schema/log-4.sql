-- Submissions for domains whose home is elsewhere, in the order in which they came in, and what became of them.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY,
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
CREATE INDEX outbox_by_state ON outbox (domain, done_at, id);
