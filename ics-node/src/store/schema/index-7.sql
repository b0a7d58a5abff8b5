-- A block could hold postings of several domains that came in together. Of the higher one some were not found then: statements
-- were missing from records, blocks among them. The index is made again.
DELETE FROM posting;
DELETE FROM progress;
