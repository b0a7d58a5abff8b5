-- Clustered by (key, position): a look-up is one range scan in log order.
CREATE TABLE posting (
    key INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (key, position)
) STRICT, WITHOUT ROWID;

-- How far the index has come. The leaf of entry indexed_upto - 1 shows that it is an index of this very log.
CREATE TABLE progress (
    domain INTEGER PRIMARY KEY,
    indexed_upto INTEGER NOT NULL,
    leaf BLOB NOT NULL
) STRICT;
