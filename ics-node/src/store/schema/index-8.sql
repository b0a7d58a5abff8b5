-- What succeeds a thing is found by that thing. The index is made again.
DELETE FROM posting;
DELETE FROM progress;
