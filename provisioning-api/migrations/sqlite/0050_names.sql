-- Registration IDs are one space for each tenant: whether another tenant has a device of this name cannot be found out by
-- asking for it, putting it in or importing it. A device's key is opaque from now on; the first of a name has the name as its key.

ALTER TABLE devices ADD COLUMN name TEXT GENERATED ALWAYS AS (lower(registration_id)) VIRTUAL;
CREATE UNIQUE INDEX devices_by_name ON devices (name, tenant);

-- The first of a name that is allocated has it for good, over all DPS instances: our CA is known to all of them, and a
-- certificate names no tenant. Whose key or certificate is out there is whose name it is.
CREATE UNIQUE INDEX devices_placed_by_name ON devices (name) WHERE dps_instance IS NOT NULL;

CREATE TABLE held_names (
    name       TEXT PRIMARY KEY NOT NULL,
    device_key TEXT NOT NULL
) STRICT;

-- Until now there was one device of a name, and its name was its key.
INSERT INTO held_names (name, device_key) SELECT key, key FROM devices WHERE allocated_at IS NOT NULL
UNION SELECT device_key, device_key FROM outbox;

CREATE TRIGGER names_are_kept AFTER UPDATE OF allocated_at ON devices WHEN NEW.allocated_at IS NOT NULL
BEGIN
    INSERT INTO held_names (name, device_key) SELECT lower(NEW.registration_id), NEW.key
    WHERE NOT EXISTS (SELECT 1 FROM held_names WHERE name = lower(NEW.registration_id));
END;

-- The allocation chooses no instance for a name that is another's; this is for certainty.
CREATE TRIGGER names_are_not_given_twice BEFORE UPDATE OF dps_instance, allocated_at ON devices
WHEN NEW.dps_instance IS NOT NULL
    AND EXISTS (SELECT 1 FROM held_names WHERE name = lower(NEW.registration_id) AND device_key <> NEW.key)
BEGIN
    SELECT RAISE(ABORT, 'another device has this registration ID');
END;

-- From when on the device's slots of a staggered schedule may lie, where an import asked for one; absent: it did not.
ALTER TABLE devices ADD COLUMN schedule_from INTEGER;
ALTER TABLE imports ADD COLUMN schedule_from INTEGER;
-- How many of its devices have slots, and the first and the last of these.
ALTER TABLE imports ADD COLUMN scheduled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE imports ADD COLUMN first_slot INTEGER;
ALTER TABLE imports ADD COLUMN last_slot INTEGER;

-- The IDs of imports are chosen by whoever imports, and are each tenant's own as well: TENANT/ID.
PRAGMA defer_foreign_keys = ON;
UPDATE import_problems SET import_id = (SELECT tenant FROM imports WHERE imports.id = import_id) || '/' || import_id;
UPDATE imports SET id = tenant || '/' || id;
UPDATE devices SET import_id = tenant || '/' || import_id WHERE import_id IS NOT NULL;
