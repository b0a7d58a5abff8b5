-- How far the log of a source was looked at by whatever rules: never less than `told`. What stands behind is news, and is
-- looked at before what `size` looks at again. Of states of certificates that were passed all is looked at once more.
ALTER TABLE follow_cursor ADD COLUMN news INTEGER NOT NULL DEFAULT 0;
UPDATE follow_cursor SET news = told;
UPDATE follow_cursor SET size = 0;

-- What an alarm is about, for who looks for it again: words apart, the first of which is a domain. NULL where nobody does.
-- Of those that were found by their texts it is taken from there.
ALTER TABLE alarm ADD COLUMN about TEXT;
UPDATE alarm SET about = substr(text, instr(text, ' of ') + 4, instr(text, ': ') - instr(text, ' of ') - 4)
    || ' entry ' || substr(text, 7, instr(text, ' of ') - 7)
WHERE kind = 'not-taken-over' AND text LIKE 'entry % of %: %';
UPDATE alarm SET about = substr(text, 1, instr(text, ': ') - 1)
    || ' answer ' || substr(text, instr(text, ' told of at ') + 12,
                            instr(text, ' entries is of no use') - instr(text, ' told of at ') - 12)
WHERE kind = 'not-taken-over' AND text LIKE '%: what is answered about a thing that was told of at % entries is of no use%';
UPDATE alarm SET about = substr(text, 14, instr(text, ' do not let ') - 14) || ' rights'
WHERE kind = 'not-taken-over' AND text LIKE 'the rules of % do not let %';
UPDATE alarm SET about = substr(text, 1, instr(text, ' declares the signer ') - 1)
    || ' compromised ' || substr(text, instr(text, ' declares the signer ') + 21,
                                 instr(text, ' compromised from entry ') - instr(text, ' declares the signer ') - 21)
    || ' ' || substr(text, instr(text, ' compromised from entry ') + 24,
                     instr(text, ' of ') - instr(text, ' compromised from entry ') - 24)
    || ' ' || substr(text, instr(text, ' of ') + 4, instr(text, ' on: ') - instr(text, ' of ') - 4)
WHERE kind = 'compromised-at-source' AND text LIKE '% declares the signer % compromised from entry % of % on: %';
