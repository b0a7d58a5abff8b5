-- How many accounts have ended, and of how many of them no copy of a contact is left in the file or its write-ahead
-- log. What a node left that ended too early nobody has looked for.
CREATE TABLE scrubbed (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    ended INTEGER NOT NULL,
    cleaned INTEGER NOT NULL
) STRICT;
INSERT INTO scrubbed SELECT 1, EXISTS (SELECT 1 FROM account), 0;
-- The days on which the node has looked at its clock, in milliseconds. What ended before the first of the last 31 is
-- deleted.
CREATE TABLE day (at INTEGER PRIMARY KEY) STRICT;
