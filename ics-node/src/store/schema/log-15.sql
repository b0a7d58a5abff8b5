-- One row while copies of what was deleted may be left in the file, between the cells of its pages (scrub.rs). Nobody has
-- looked there for what earlier versions erased.
CREATE TABLE unscrubbed (one INTEGER PRIMARY KEY CHECK (one = 1)) STRICT;
INSERT INTO unscrubbed VALUES (1);
