-- What stands above a certificate is the same for all that an issuer has signed, and is kept once. Each row is changed
-- by itself: joined with what is read from it, all of them would be held in memory at once.
CREATE TABLE issuers (id INTEGER PRIMARY KEY, pem TEXT NOT NULL UNIQUE) STRICT;
ALTER TABLE certificate ADD COLUMN above INTEGER REFERENCES issuers (id);
CREATE TEMP VIEW split AS
SELECT id, pem, instr(substr(pem, 2), '-----BEGIN ') + 1 AS ends FROM (
    SELECT id, json_extract(document, '$.pem') AS pem FROM main.certificate
    WHERE CASE WHEN json_valid(document) THEN json_type(document, '$.pem') = 'text' END
) WHERE ends > 1;
INSERT OR IGNORE INTO issuers (pem) SELECT substr(pem, ends) FROM split;
UPDATE certificate
SET above = (
    SELECT issuers.id FROM split JOIN issuers ON issuers.pem = substr(split.pem, split.ends)
    WHERE split.id = certificate.id
)
WHERE CASE WHEN json_valid(document) THEN json_type(document, '$.pem') = 'text' END;
UPDATE certificate
SET document = json_set(document, '$.pem', (
    SELECT substr(split.pem, 1, split.ends - 1) FROM split WHERE split.id = certificate.id
))
WHERE above IS NOT NULL;
DROP VIEW split;
