-- One row is one pairing: one device, one hand-off ID. No proof of possession, key, certificate or token is ever in it.
-- Times are RFC 3339 in UTC.
CREATE TABLE pairing (
    handoff_id TEXT PRIMARY KEY NOT NULL,
    -- SHA-256 of the label's name and user name: finds an interrupted pairing before the device has said who it is.
    label_key TEXT NOT NULL,
    name TEXT NOT NULL,
    link TEXT NOT NULL,
    started_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    runs INTEGER NOT NULL DEFAULT 1,
    -- open, assigned, failed
    state TEXT NOT NULL DEFAULT 'open',
    registration_id TEXT,
    model TEXT,
    firmware TEXT,

    -- What the API gave.
    given_at TEXT,
    given_instance TEXT,
    given_id_scope TEXT,
    given_endpoint TEXT,
    given_attestation TEXT,

    -- What the device acknowledged. The digest is of the configuration as it was sent.
    prepared_at TEXT,
    digest TEXT,
    staged_at TEXT,
    committing_at TEXT,
    committed_at TEXT,

    -- What the device said in the end.
    device_said_at TEXT,
    device_phase TEXT,
    device_hub TEXT,
    device_device_id TEXT,
    device_substatus TEXT,
    device_code TEXT,
    device_text TEXT,
    device_rolled_back INTEGER,

    -- What DPS said, asked through the API.
    dps_said_at TEXT,
    dps_status TEXT,
    dps_hub TEXT,
    dps_device_id TEXT,

    -- When the API was told how it ended.
    recorded_at TEXT,

    -- The last run's error.
    error_at TEXT,
    error_code TEXT,
    error_step TEXT
) STRICT;

CREATE INDEX pairing_by_label ON pairing (label_key, state);
CREATE INDEX pairing_by_start ON pairing (started_at);
