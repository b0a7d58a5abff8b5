-- What a domain of this node takes over from other domains by itself.
CREATE TABLE follow (
    domain INTEGER NOT NULL,
    source TEXT NOT NULL,
    -- An identity's id, or the JSON of what a thing must have.
    what TEXT NOT NULL,
    PRIMARY KEY (domain, source, what)
) STRICT, WITHOUT ROWID;

-- How far the log of the source was followed.
CREATE TABLE follow_cursor (
    domain INTEGER NOT NULL,
    source TEXT NOT NULL,
    size INTEGER NOT NULL,
    PRIMARY KEY (domain, source)
) STRICT, WITHOUT ROWID;
