-- Each row bears a checksum: where one damaged byte cut off a posting, or led behind the end of the log, what it should have
-- led to was missing from records, blocks among it. The index is derived; the next start fills it again.
DROP TABLE posting;
DELETE FROM progress;

CREATE TABLE posting (
    key INTEGER NOT NULL,
    position INTEGER NOT NULL,
    -- The positions of the key behind this one, each as its distance from the one before, in LEB128; NULL for none.
    more BLOB,
    -- Over the other three.
    checksum INTEGER NOT NULL,
    PRIMARY KEY (key, position)
) STRICT, WITHOUT ROWID;
