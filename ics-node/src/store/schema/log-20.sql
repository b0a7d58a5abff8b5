-- A time below 0 in `unconfirmed` says that the certificate was confirmed: until then its holder may say so once more.
--
-- The days on which the node has looked at its clock, in milliseconds. The contents of certificates that ended before
-- the first of the last 31 are deleted; nothing is noted with each of them.
CREATE TABLE day (at INTEGER PRIMARY KEY) STRICT;
ALTER TABLE certified DROP COLUMN ended;
