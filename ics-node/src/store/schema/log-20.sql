-- Up to which index a copy has given up erasures that no checkpoint covered. What they have erased is gone, and what they
-- restate is missing until a checkpoint covers them again.
CREATE TABLE given_up (
    domain INTEGER PRIMARY KEY,
    upto INTEGER NOT NULL
) STRICT;
