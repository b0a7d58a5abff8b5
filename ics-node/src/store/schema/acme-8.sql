-- Only what is to be proven is looked for by its identifier. What follows from the record is stored without one.
DROP INDEX authorization_by_identifier;
CREATE INDEX authorization_by_identifier ON authorization (account, identifier) WHERE identifier <> '';
