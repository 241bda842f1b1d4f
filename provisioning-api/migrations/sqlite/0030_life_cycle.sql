-- Import, life cycle, and the chain of events. Hashes are hexadecimal, lists are JSON: the same on every database.

-- Whose device an event is about, and the reason that was given for a dangerous change.
ALTER TABLE events ADD COLUMN tenant TEXT;
ALTER TABLE events ADD COLUMN reason TEXT;
-- SHA-256 over the hash of the event before and all of this row: events.rs.
ALTER TABLE events ADD COLUMN hash TEXT;

DROP TRIGGER events_are_not_changed;
UPDATE events SET tenant = 'default' WHERE device_key IS NOT NULL;
-- An event that has no hash yet may be given one; nothing else of it changes.
CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events
WHEN OLD.hash IS NOT NULL OR NEW.hash IS NULL OR NEW.id IS NOT OLD.id OR NEW.at IS NOT OLD.at OR NEW.who IS NOT OLD.who
    OR NEW.what IS NOT OLD.what OR NEW.device_key IS NOT OLD.device_key OR NEW.handoff_id IS NOT OLD.handoff_id
    OR NEW.tenant IS NOT OLD.tenant OR NEW.reason IS NOT OLD.reason OR NEW.detail IS NOT OLD.detail
BEGIN
    SELECT RAISE(ABORT, 'events are append-only');
END;

CREATE INDEX events_by_tenant ON events (tenant, id);
CREATE INDEX events_by_who ON events (who, id);

-- The end of the chain. Its one row is changed first by whoever adds an event, so that writers come one after another.
CREATE TABLE audit_head (
    one      INTEGER PRIMARY KEY NOT NULL CHECK (one = 1),
    event_id INTEGER NOT NULL,
    hash     TEXT NOT NULL,
    turn     INTEGER NOT NULL DEFAULT 0
) STRICT;

INSERT INTO audit_head (one, event_id, hash)
VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');

-- What an import says of a device beside its model.
ALTER TABLE devices ADD COLUMN site TEXT;
-- TPM2B_PUBLIC in base64.
ALTER TABLE devices ADD COLUMN endorsement_key TEXT;
ALTER TABLE devices ADD COLUMN import_id TEXT;
ALTER TABLE devices ADD COLUMN import_row INTEGER;
-- What DPS does when it registers again; absent: as its enrollment group says, migrateData.
ALTER TABLE devices ADD COLUMN reprovision TEXT;
-- Grows with every change that somebody would want to know of; the ETag.
ALTER TABLE devices ADD COLUMN version INTEGER NOT NULL DEFAULT 1;

CREATE TRIGGER devices_versioned AFTER UPDATE OF updated_at, lifecycle, tenant, dps_instance ON devices
BEGIN
    UPDATE devices SET version = version + 1 WHERE key = NEW.key;
END;

CREATE TABLE imports (
    -- Chosen by whoever imports.
    id             TEXT PRIMARY KEY NOT NULL,
    tenant         TEXT NOT NULL REFERENCES tenants (name),
    who            TEXT NOT NULL,
    -- open, complete
    state          TEXT NOT NULL,
    -- How many of the file's rows are in the inventory, from the first on, and the hash over those rows.
    committed_rows INTEGER NOT NULL DEFAULT 0,
    prefix_hash    TEXT NOT NULL,
    added          INTEGER NOT NULL DEFAULT 0,
    already_there  INTEGER NOT NULL DEFAULT 0,
    -- Of the last upload.
    bad_rows       INTEGER NOT NULL DEFAULT 0,
    rows_seen      INTEGER NOT NULL DEFAULT 0,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL
) STRICT;

CREATE TABLE import_problems (
    import_id   TEXT NOT NULL REFERENCES imports (id) ON DELETE CASCADE,
    row_number  INTEGER NOT NULL,
    line        INTEGER NOT NULL,
    column_name TEXT NOT NULL,
    code        TEXT NOT NULL,
    text        TEXT NOT NULL,
    PRIMARY KEY (import_id, row_number, column_name)
) STRICT;

-- Whose public key a device may keep: everybody whose it was when a hand-off was begun, until one is known to have ended well.
CREATE TABLE held_owners (
    device_key TEXT NOT NULL REFERENCES devices (key) ON DELETE CASCADE,
    tenant     TEXT NOT NULL,
    PRIMARY KEY (device_key, tenant)
) STRICT;

INSERT INTO held_owners (device_key, tenant) SELECT key, tenant FROM devices WHERE allocated_at IS NOT NULL;

CREATE TABLE transfers (
    id          TEXT PRIMARY KEY NOT NULL,
    device_key  TEXT NOT NULL REFERENCES devices (key) ON DELETE CASCADE,
    from_tenant TEXT NOT NULL,
    -- Not a reference: an offer to nobody is as silent as one that is never accepted.
    to_tenant   TEXT NOT NULL,
    reason      TEXT NOT NULL,
    -- offered, accepted, declined, withdrawn
    state       TEXT NOT NULL,
    offered_by  TEXT NOT NULL,
    offered_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    ended_by    TEXT,
    ended_at    INTEGER
) STRICT;

CREATE UNIQUE INDEX transfers_one_offer ON transfers (device_key) WHERE state = 'offered';
CREATE INDEX transfers_by_receiver ON transfers (to_tenant, state);

-- What is still to be done at DPS after a change that is made here: written with the change, worked off after it.
CREATE TABLE outbox (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    device_key      TEXT NOT NULL,
    registration_id TEXT NOT NULL,
    dps_instance    TEXT NOT NULL,
    task            TEXT NOT NULL,
    detail          TEXT,
    who             TEXT NOT NULL,
    -- 1: not before the device is assigned elsewhere.
    waits           INTEGER NOT NULL DEFAULT 0,
    tries           INTEGER NOT NULL DEFAULT 0,
    due_at          INTEGER NOT NULL,
    -- Whoever works at it has it until then.
    taken_until     INTEGER NOT NULL DEFAULT 0,
    last_error      TEXT,
    created_at      INTEGER NOT NULL,
    done_at         INTEGER
) STRICT;

CREATE INDEX outbox_open ON outbox (due_at) WHERE done_at IS NULL;
CREATE INDEX outbox_by_device ON outbox (device_key, id);

ALTER TABLE certificates ADD COLUMN revoked_at INTEGER;
ALTER TABLE certificates ADD COLUMN revoked_why TEXT;
