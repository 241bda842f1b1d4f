-- As migrations/sqlite/0070_credentials.sql, where each column is explained.
ALTER TABLE devices ADD COLUMN key_generation BIGINT NOT NULL DEFAULT 0;

UPDATE devices SET key_generation = 1 WHERE lifecycle = 'decommissioned'
    AND EXISTS (SELECT 1 FROM outbox WHERE device_key = key AND outbox.detail = 'symmetricKey');

-- For a start of the service, which looks for what is to be barred at instances that are new.
CREATE INDEX certificates_revoked ON certificates (device_key, not_after) WHERE revoked_at IS NOT NULL;
CREATE INDEX devices_with_other_keys ON devices (key) WHERE key_generation > 0;
