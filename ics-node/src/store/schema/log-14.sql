-- For whom and what each certificate is that was issued here, and whether its key shows that the thing comes, as JSON,
-- beside the statement of act `issued` that names it:
-- that says neither, because nobody could take a name out of a log that others copy, and such statements are not erased. Of
-- certificates from before nothing is known.
CREATE TABLE certified (
    position INTEGER PRIMARY KEY,
    document TEXT NOT NULL
) STRICT;
