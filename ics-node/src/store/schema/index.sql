-- The index is derived, so this makes it anew whatever an earlier version has left; the next start fills it.
DROP TABLE IF EXISTS posting;
DROP TABLE IF EXISTS progress;

-- Clustered by (key, position): a look-up is one range scan in log order. Postings that many entries share (kind, act,
-- role, signer, model) stand in blocks, a row for some dozens of entries: the names are then nearly all that a merge
-- has to place.
CREATE TABLE posting (
    key INTEGER NOT NULL,
    position INTEGER NOT NULL,
    -- The positions of the key behind this one, each as its distance from the one before, in LEB128; NULL for none.
    more BLOB,
    -- Over the other three.
    checksum INTEGER NOT NULL,
    PRIMARY KEY (key, position)
) STRICT, WITHOUT ROWID;

-- How far the index has come. The leaf of entry indexed_upto - 1 shows that it is an index of this very log.
CREATE TABLE progress (
    domain INTEGER PRIMARY KEY,
    indexed_upto INTEGER NOT NULL,
    leaf BLOB NOT NULL
) STRICT;
