-- Of which entries others than the home have said whether this mirror may read them, and who: JSON. What it held before
-- nobody has remembered the word of.
CREATE TABLE doubt (
    domain INTEGER PRIMARY KEY,
    document TEXT NOT NULL
) STRICT;
INSERT INTO doubt SELECT domain, '{"from":0,"by":["peers that were asked before"]}' FROM sight;
