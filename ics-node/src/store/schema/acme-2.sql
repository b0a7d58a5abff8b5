-- For whom each account speaks: a holder has so many, and what he makes is counted for all of them together.
ALTER TABLE account ADD COLUMN holder TEXT NOT NULL DEFAULT '';
UPDATE account SET holder = coalesce(json_extract(document, '$.holder'), '') WHERE json_valid(document);
CREATE INDEX account_by_holder ON account (domain, holder);
CREATE TABLE made (
    domain TEXT NOT NULL,
    holder TEXT NOT NULL,
    what TEXT NOT NULL,
    since INTEGER NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (domain, holder, what)
) STRICT;
