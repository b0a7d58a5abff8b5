-- The whole entries that have, or once had, no effect. Nothing else tells when one damaged byte takes the effect of a block
-- away: leaf and checkpoint do not say it. Few entries have none, so whoever meets one looks here.
CREATE TABLE without_effect (
    position INTEGER PRIMARY KEY
) STRICT;
INSERT INTO without_effect SELECT position FROM entry WHERE effective = 0 AND body IS NOT NULL;
