-- What is left of erased statements is found by all that their erasures restate, and statements about groups by their status
-- and label: the index is made again.
DELETE FROM posting;
DELETE FROM progress;
