-- What a confirmation must fit, so that it counts after a restart as well: the transaction's id, the key that signed
-- the request (NULL if the registrar's secret protected it), the nonce that it answers, and the certificate's digest.
-- Of what earlier versions noted, only the time is known.
ALTER TABLE unconfirmed ADD COLUMN exchange BLOB;
ALTER TABLE unconfirmed ADD COLUMN signed_by BLOB;
ALTER TABLE unconfirmed ADD COLUMN nonce BLOB;
ALTER TABLE unconfirmed ADD COLUMN digest BLOB;
-- When the node first saw that a certificate had ended, in milliseconds: its contents are kept for a while from then.
ALTER TABLE certified ADD COLUMN ended INTEGER;
