-- The log. An entry's position is the number of its domain << 40 | its index: the rowid, so that appending is
-- sequential and reading a range is one scan. The leaf stands before the body, which may overflow to other pages.
CREATE TABLE domain (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    part TEXT NOT NULL CHECK (part IN ('home', 'mirror')),
    entry0 BLOB CHECK (length(entry0) = 32),
    -- 1 in a backup: what was restored must not sign before it has asked its mirrors.
    held INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE entry (
    position INTEGER PRIMARY KEY,
    effective INTEGER NOT NULL,
    leaf BLOB NOT NULL CHECK (length(leaf) = 32),
    header BLOB NOT NULL,
    -- NULL where erased or withheld.
    salt BLOB,
    body BLOB
) STRICT;

-- Full tiles only: 256 hashes of 32 bytes (C2SP tlog-tiles). Partial ones are the right edge, kept in memory.
CREATE TABLE tile (
    domain INTEGER NOT NULL,
    level INTEGER NOT NULL,
    number INTEGER NOT NULL,
    hashes BLOB NOT NULL CHECK (length(hashes) = 8192),
    PRIMARY KEY (domain, level, number)
) STRICT;

CREATE TABLE head (
    domain INTEGER PRIMARY KEY,
    size INTEGER NOT NULL,
    root BLOB NOT NULL CHECK (length(root) = 32),
    -- The last checkpoint; a mirror that is catching up has one for another size.
    seal_size INTEGER,
    seal_root BLOB,
    note TEXT,
    cosigned_at INTEGER
) STRICT;

-- What an operator has to know.
CREATE TABLE alarm (
    id INTEGER PRIMARY KEY,
    domain INTEGER,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;

-- Two checkpoints of one domain that cannot both be true.
CREATE TABLE fork (
    id INTEGER PRIMARY KEY,
    domain INTEGER NOT NULL,
    at INTEGER NOT NULL,
    ours TEXT NOT NULL,
    theirs TEXT NOT NULL,
    UNIQUE (domain, ours, theirs)
) STRICT;

-- Devices that have asked for an identity.
CREATE TABLE enrolment (
    id INTEGER PRIMARY KEY,
    token TEXT NOT NULL UNIQUE,
    domain INTEGER NOT NULL,
    request BLOB NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'approved', 'refused')),
    at INTEGER NOT NULL,
    decided_at INTEGER,
    answer TEXT
) STRICT;
CREATE INDEX enrolment_by_state ON enrolment (domain, state, id);
