-- What the allocation goes by, and the slots of staggered schedules.

-- What an administrator changed while the API ran; absent: the configuration file's value.
ALTER TABLE instances ADD COLUMN state TEXT;
ALTER TABLE instances ADD COLUMN capacity INTEGER CHECK (capacity >= 0);
ALTER TABLE instances ADD COLUMN registrations_per_minute INTEGER CHECK (registrations_per_minute > 0);
-- Grows with every change; the ETag.
ALTER TABLE instances ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
-- As the configuration had them last, for instances that it has no more.
ALTER TABLE instances ADD COLUMN id_scope TEXT NOT NULL DEFAULT '';
ALTER TABLE instances ADD COLUMN endpoint TEXT NOT NULL DEFAULT '';

-- Where the device's data must stay; absent: anywhere.
ALTER TABLE devices ADD COLUMN region TEXT;
ALTER TABLE devices ADD COLUMN ring TEXT NOT NULL DEFAULT 'production';
-- When a reservation was made, and until when it is kept if nobody takes it up.
ALTER TABLE devices ADD COLUMN reserved_at INTEGER;
ALTER TABLE devices ADD COLUMN reserved_until INTEGER;
-- Who began the pairing of handoff_id.
ALTER TABLE devices ADD COLUMN handoff_account TEXT;
ALTER TABLE devices ADD COLUMN handoff_begun_at INTEGER;
-- The slot of a staggered schedule, the instance that it is of, and when it was taken.
ALTER TABLE devices ADD COLUMN starts_at INTEGER;
ALTER TABLE devices ADD COLUMN slot_instance TEXT;
ALTER TABLE devices ADD COLUMN slot_taken_at INTEGER;

-- Reservations are few, and looked for at every allocation.
CREATE INDEX devices_reserved ON devices (reserved_until) WHERE allocated_at IS NULL AND dps_instance IS NOT NULL;
UPDATE devices SET reserved_at = updated_at, reserved_until = updated_at + 86400000
WHERE allocated_at IS NULL AND dps_instance IS NOT NULL;

-- How many devices were told to start in a minute (since 1970) at an instance: of all schedules together.
CREATE TABLE slots (
    dps_instance TEXT NOT NULL REFERENCES instances (name),
    minute       INTEGER NOT NULL,
    taken        INTEGER NOT NULL CHECK (taken >= 0),
    PRIMARY KEY (dps_instance, minute)
) STRICT;
