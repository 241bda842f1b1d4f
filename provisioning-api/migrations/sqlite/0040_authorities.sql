-- CAs for devices' certificates follow one another: the next one is known to every DPS instance before it signs, and a
-- former one stays known until nothing that it signed is valid.

ALTER TABLE authorities ADD COLUMN state TEXT NOT NULL DEFAULT 'current' CHECK (state IN ('next', 'current', 'former', 'removed'));
-- 1: certificate and key are the operator's files; the database has no key of it.
ALTER TABLE authorities ADD COLUMN from_files INTEGER NOT NULL DEFAULT 0;

UPDATE authorities SET state = 'former'
WHERE fingerprint <> (SELECT fingerprint FROM authorities ORDER BY created_at DESC, fingerprint LIMIT 1);

CREATE INDEX certificates_by_authority ON certificates (authority, not_after);
