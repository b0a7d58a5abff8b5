-- What may be read no longer is deleted (log-7), and what it was found by goes with it: the index is made again.
DELETE FROM posting;
DELETE FROM progress;
