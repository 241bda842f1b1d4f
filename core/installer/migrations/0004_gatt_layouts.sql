-- Where a device's endpoints are, as its descriptors said over Bluetooth: JSON of the links crate. A later run need not read
-- them again.
CREATE TABLE gatt_layout (
    -- AA:BB:CC:DD:EE:FF, or the system's identifier.
    address TEXT PRIMARY KEY NOT NULL,
    layout TEXT NOT NULL,
    learned_at TEXT NOT NULL
) STRICT;
