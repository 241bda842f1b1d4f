-- Work orders for use without a network, as the API gave them: JSON in which every credential is sealed for a key that is not here.
CREATE TABLE sealed_order (
    order_id TEXT PRIMARY KEY NOT NULL,
    document TEXT NOT NULL,
    -- Seconds since 1970.
    not_after INTEGER NOT NULL,
    downloaded_at TEXT NOT NULL
) STRICT;
