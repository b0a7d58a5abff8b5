-- What the home of a source that is not here has last said to stand for the rights of this node there; NULL where it has not.
-- With another one all is looked at again: what was passed may be told of by now.
ALTER TABLE follow_cursor ADD COLUMN rights BLOB;
