-- Grants of a domain of this node that whatever it follows is still to be looked at for: what the grantee had said there
-- was refused for want of the role. They are written with the grant, and go once it is heeded.
CREATE TABLE follow_grant (
    domain INTEGER NOT NULL,
    source TEXT NOT NULL,
    -- Where the grant stands in the domain's own log.
    entry INTEGER NOT NULL,
    -- The id of the thing that it is about; empty where that is a group.
    thing TEXT NOT NULL,
    -- In milliseconds since 1970, from when on it holds; 0 where it does so at once.
    begins INTEGER NOT NULL,
    PRIMARY KEY (domain, source, entry)
) STRICT, WITHOUT ROWID;
