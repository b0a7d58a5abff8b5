-- What a mirror may read no longer is deleted, because it would not hear when that is erased. `shown` is -1 where an entry
-- is missed so, and else NULL; what it is missed by is in the table `filled`.
UPDATE entry SET shown = CASE WHEN shown <= (SELECT settled FROM sight WHERE domain = position >> 40) THEN NULL ELSE -1 END
WHERE shown >= 0;
UPDATE entry SET header = x'', salt = NULL, body = NULL, filled = NULL WHERE shown = -1;
