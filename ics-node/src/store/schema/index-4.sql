-- What entries are found by has grown by the hours in which they begin and cease to hold: the index is made again.
DELETE FROM posting;
DELETE FROM progress;
