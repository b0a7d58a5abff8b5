-- What a confirmation must fit, so that it counts after a restart as well: the transaction's id, the key that signed
-- the request (NULL if the registrar's secret protected it), the nonce that it answers, and the certificate's digest.
-- Of what earlier versions noted, only the time is known.
ALTER TABLE unconfirmed ADD COLUMN exchange BLOB;
ALTER TABLE unconfirmed ADD COLUMN signed_by BLOB;
ALTER TABLE unconfirmed ADD COLUMN nonce BLOB;
ALTER TABLE unconfirmed ADD COLUMN digest BLOB;
-- A time below 0 says that the certificate was confirmed: until then its holder may say so once more.
--
-- The days on which the node has looked at its clock, in milliseconds. The contents of certificates that ended before
-- the first of the last 31 are deleted.
CREATE TABLE day (at INTEGER PRIMARY KEY) STRICT;
