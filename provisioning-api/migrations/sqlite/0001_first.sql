-- Times are milliseconds since 1970 in UTC. Secrets stand only in `secrets`, encrypted under a key that is not here.

CREATE TABLE instances (
    name       TEXT PRIMARY KEY NOT NULL,
    -- Kept by the triggers below, so that an allocation need not count a million rows.
    allocated  INTEGER NOT NULL DEFAULT 0 CHECK (allocated >= 0)
) STRICT;

CREATE TABLE devices (
    -- The registration ID in lower case: DPS does not tell cases apart.
    key                TEXT PRIMARY KEY NOT NULL,
    -- As the inventory spells it.
    registration_id    TEXT NOT NULL,
    model              TEXT,
    firmware           TEXT,
    pinned_attestation TEXT,
    pinned_instance    TEXT,
    lifecycle          TEXT NOT NULL DEFAULT 'expected',
    -- Set from the reservation on; `allocated_at` says whether it was ever told to an app.
    dps_instance       TEXT REFERENCES instances (name),
    attestation        TEXT,
    allocated_at       INTEGER,
    handoff_id         TEXT,
    handoff_at         INTEGER,
    handoff_open       INTEGER NOT NULL DEFAULT 0,
    outcome            TEXT,
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL
) STRICT;

CREATE INDEX devices_by_instance ON devices (dps_instance);

CREATE TRIGGER devices_counted_in AFTER UPDATE OF dps_instance ON devices
WHEN NEW.dps_instance IS NOT OLD.dps_instance
BEGIN
    UPDATE instances SET allocated = allocated - 1 WHERE name = OLD.dps_instance;
    UPDATE instances SET allocated = allocated + 1 WHERE name = NEW.dps_instance;
END;

CREATE TRIGGER devices_counted_out AFTER DELETE ON devices WHEN OLD.dps_instance IS NOT NULL
BEGIN
    UPDATE instances SET allocated = allocated - 1 WHERE name = OLD.dps_instance;
END;

CREATE TABLE outcomes (
    device_key  TEXT NOT NULL REFERENCES devices (key) ON DELETE CASCADE,
    handoff_id  TEXT NOT NULL,
    outcome     TEXT NOT NULL,
    recorded_at INTEGER NOT NULL,
    PRIMARY KEY (device_key, handoff_id)
) STRICT;

CREATE TABLE enrollment_groups (
    dps_instance TEXT NOT NULL,
    attestation  TEXT NOT NULL,
    group_id     TEXT NOT NULL,
    etag         TEXT,
    verified_at  INTEGER NOT NULL,
    PRIMARY KEY (dps_instance, attestation)
) STRICT;

CREATE TABLE authorities (
    -- SHA-256 of the certificate, hexadecimal.
    fingerprint TEXT PRIMARY KEY NOT NULL,
    certificate BLOB NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE certificates (
    serial      TEXT PRIMARY KEY NOT NULL,
    device_key  TEXT NOT NULL,
    handoff_id  TEXT NOT NULL,
    authority   TEXT NOT NULL,
    csr_sha256  TEXT NOT NULL,
    certificate BLOB NOT NULL,
    not_after   INTEGER NOT NULL,
    issued_at   INTEGER NOT NULL,
    -- A repeated request gets the same certificate.
    UNIQUE (device_key, handoff_id, authority, csr_sha256)
) STRICT;

CREATE TABLE secrets (
    name       TEXT PRIMARY KEY NOT NULL,
    nonce      BLOB NOT NULL,
    ciphertext BLOB NOT NULL
) STRICT;

CREATE TABLE tokens (
    id         TEXT PRIMARY KEY NOT NULL,
    -- SHA-256 of the token, which has 256 random bits: nothing to guess, so no slow hash is needed.
    hash       BLOB NOT NULL UNIQUE,
    role       TEXT NOT NULL,
    name       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;

CREATE TABLE events (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    who        TEXT NOT NULL,
    what       TEXT NOT NULL,
    device_key TEXT,
    handoff_id TEXT,
    detail     TEXT
) STRICT;

CREATE INDEX events_by_device ON events (device_key, id);

CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'events are append-only');
END;

CREATE TRIGGER events_are_not_removed BEFORE DELETE ON events
BEGIN
    SELECT RAISE(ABORT, 'events are append-only');
END;
