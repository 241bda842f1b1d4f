-- As migrations/sqlite/0070_credentials.sql, where each column is explained.
ALTER TABLE devices ADD COLUMN key_generation BIGINT NOT NULL DEFAULT 0;

UPDATE devices SET key_generation = 1 WHERE lifecycle = 'decommissioned'
    AND EXISTS (SELECT 1 FROM outbox WHERE device_key = key AND outbox.detail = 'symmetricKey');
