-- The devices that one installer is to do at one site.

CREATE TABLE work_orders (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    tenant     TEXT NOT NULL,
    site       TEXT NOT NULL,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    state      TEXT NOT NULL DEFAULT 'open',
    -- Since when it is in this state.
    state_at   INTEGER NOT NULL,
    -- Any devices: their model (absent: any), how many at most (absent: only named devices), how many are taken.
    any_model  TEXT,
    at_most    INTEGER CHECK (at_most >= 0),
    taken      INTEGER NOT NULL DEFAULT 0 CHECK (taken >= 0),
    opens      INTEGER,
    closes     INTEGER,
    -- HH:MM by the clock of time_zone.
    hours_from  TEXT,
    hours_until TEXT,
    time_zone   TEXT,
    schedule   INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    -- Grows with every change; the ETag.
    version    INTEGER NOT NULL DEFAULT 1
) STRICT;

CREATE INDEX work_orders_by_installer ON work_orders (account_id, state);

CREATE TABLE work_order_devices (
    order_id   TEXT NOT NULL REFERENCES work_orders (id) ON DELETE CASCADE,
    device_key TEXT NOT NULL REFERENCES devices (key) ON DELETE CASCADE,
    added_at   INTEGER NOT NULL,
    -- Taken as one of "any of this model"; such a device stays counted when it is gone.
    taken      INTEGER NOT NULL DEFAULT 0,
    -- When it was first given out sealed.
    offline_at INTEGER,
    PRIMARY KEY (order_id, device_key)
) STRICT;

CREATE INDEX work_order_devices_by_device ON work_order_devices (device_key);
