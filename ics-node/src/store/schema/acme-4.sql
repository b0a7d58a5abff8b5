-- A certificate with all above it, once: the chain without the root is a part of that.
UPDATE certificate
SET document = json_set(json_remove(document, '$.chains'), '$.pem', json_extract(document, '$.chains[#-1]'))
WHERE CASE WHEN json_valid(document) THEN json_type(document, '$.chains[#-1]') = 'text' END;
