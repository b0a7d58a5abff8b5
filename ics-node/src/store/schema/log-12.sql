-- How far the log of a source was looked at by whatever rules: never less than `told`. What stands behind is news, and is
-- looked at before what `size` looks at again. Of states of certificates that were passed all is looked at once more.
ALTER TABLE follow_cursor ADD COLUMN news INTEGER NOT NULL DEFAULT 0;
UPDATE follow_cursor SET news = told;
UPDATE follow_cursor SET size = 0;
