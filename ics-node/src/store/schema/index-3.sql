-- Postings that many entries share (kind, act, role, signer, model) in blocks, a row for some dozens of entries: the names
-- are then nearly all that a merge has to place. The index is derived; the next start fills it again.
DROP TABLE posting;
DELETE FROM progress;

CREATE TABLE posting (
    key INTEGER NOT NULL,
    position INTEGER NOT NULL,
    -- The positions of the key behind this one, each as its distance from the one before, in LEB128; NULL for none.
    more BLOB,
    PRIMARY KEY (key, position)
) STRICT, WITHOUT ROWID;
