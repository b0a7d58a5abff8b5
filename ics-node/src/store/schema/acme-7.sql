-- The days on which the node has looked at its clock, in milliseconds. What ended before the first of the last 31 is
-- deleted.
CREATE TABLE day (at INTEGER PRIMARY KEY) STRICT;
