-- What entries are found by has grown by key ids and User IDs: the index is made again from the log.
DELETE FROM posting;
DELETE FROM progress;
