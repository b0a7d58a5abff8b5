-- What the ACME server has to remember of its clients. Nothing here says what is true of a thing: that is the log's.
CREATE TABLE credential (
    kid TEXT PRIMARY KEY,
    domain TEXT NOT NULL,
    holder TEXT NOT NULL,
    secret BLOB NOT NULL,
    expires INTEGER NOT NULL
) STRICT;
CREATE TABLE account (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    domain TEXT NOT NULL,
    thumbprint TEXT NOT NULL,
    document TEXT NOT NULL,
    UNIQUE (domain, thumbprint)
) STRICT;
CREATE TABLE orders (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL REFERENCES account (id),
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    document TEXT NOT NULL
) STRICT;
CREATE INDEX orders_by_account ON orders (account, created);
CREATE INDEX orders_by_end ON orders (expires);
CREATE TABLE authorization (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL REFERENCES account (id),
    identifier TEXT NOT NULL,
    expires INTEGER NOT NULL,
    document TEXT NOT NULL
) STRICT;
CREATE INDEX authorization_by_identifier ON authorization (account, identifier);
CREATE INDEX authorization_by_end ON authorization (expires);
CREATE TABLE certificate (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    domain TEXT NOT NULL,
    digest BLOB NOT NULL,
    account INTEGER NOT NULL REFERENCES account (id),
    expires INTEGER NOT NULL,
    replaced INTEGER NOT NULL DEFAULT 0,
    document TEXT NOT NULL,
    UNIQUE (domain, digest)
) STRICT;
CREATE INDEX certificate_by_end ON certificate (expires);
-- Accounts that must get no other certificate for a name, because somebody else had one of theirs revoked.
CREATE TABLE block (
    account INTEGER NOT NULL REFERENCES account (id),
    identifier TEXT NOT NULL,
    since INTEGER NOT NULL,
    why TEXT NOT NULL,
    PRIMARY KEY (account, identifier)
) STRICT;
