-- What is found beside the log goes with its entry, when that is erased or may no longer be read. Without this all of it
-- was read for each such entry.
CREATE INDEX filled_by_position ON filled (position);
