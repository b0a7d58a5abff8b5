-- What this node has cosigned as a witness: the largest tree of each log that it has seen. Never lowered.
CREATE TABLE witnessed (
    -- Name and leaf data of entry 0.
    origin TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    root BLOB NOT NULL CHECK (length(root) = 32),
    -- The checkpoint, as the log signed it.
    note TEXT NOT NULL,
    -- One that contradicts it, by the same key.
    contradiction TEXT
) STRICT, WITHOUT ROWID;
