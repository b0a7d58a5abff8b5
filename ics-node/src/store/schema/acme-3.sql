-- The entry of the log that a block followed: what is newer the order of the log says, not the clock. Blocks of before know
-- only their time.
ALTER TABLE block ADD COLUMN follows INTEGER;
