-- What a mirror may read that may not read all of a domain. Entries that came as bare leaves are filled in when it may
-- read them: in rounds, each of which takes effect as a whole.
ALTER TABLE entry ADD COLUMN filled INTEGER; -- The round that filled it in; NULL where it came whole, or is hidden.
ALTER TABLE entry ADD COLUMN shown INTEGER;  -- NULL as ever; -1 where it may be read no longer; else since which round.

CREATE TABLE sight (
    domain INTEGER PRIMARY KEY,
    -- What stands for the rights of this mirror at its peer; NULL where it may read all.
    rights BLOB CHECK (length(rights) = 16),
    -- The last round that has taken effect.
    settled INTEGER NOT NULL,
    -- Whether a round is under way.
    unsettled INTEGER NOT NULL
) STRICT;

-- What filled entries are found by. The index is made in the order of the log, which these come after.
CREATE TABLE filled (
    key INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (key, position)
) STRICT, WITHOUT ROWID;
