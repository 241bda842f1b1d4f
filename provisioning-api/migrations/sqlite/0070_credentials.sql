-- Which of the device's symmetric keys is in force: 0 is the one that DPS's enrollment group derives, each later one is in an
-- individual enrollment. Grows when what the device was given is withdrawn (credentials.rs).
ALTER TABLE devices ADD COLUMN key_generation INTEGER NOT NULL DEFAULT 0;

-- Whoever was taken out of service before comes back with another key.
UPDATE devices SET key_generation = 1 WHERE lifecycle = 'decommissioned'
    AND EXISTS (SELECT 1 FROM outbox WHERE device_key = key AND outbox.detail = 'symmetricKey');

-- For a start of the service, which looks for what is to be barred at instances that are new.
CREATE INDEX certificates_revoked ON certificates (device_key, not_after) WHERE revoked_at IS NOT NULL;
CREATE INDEX devices_with_other_keys ON devices (key) WHERE key_generation > 0;
