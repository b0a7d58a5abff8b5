-- Whom to write to about an account goes with its end.
UPDATE account SET document = json_set(document, '$.contact', json('[]'))
WHERE CASE WHEN json_valid(document) THEN json_extract(document, '$.status') IN ('deactivated', 'revoked') END;
