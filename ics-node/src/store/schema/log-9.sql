-- How far it was told of what was refused, or passed over in silence: never less than `size`. Who looks again by the rules
-- of his own next descriptor tells nothing of that anew.
ALTER TABLE follow_cursor ADD COLUMN told INTEGER NOT NULL DEFAULT 0;
UPDATE follow_cursor SET told = size;
