-- Who asks, apart from what they ask with: an account may hold many tokens, and devices belong to tenants.

CREATE TABLE tenants (
    name       TEXT PRIMARY KEY NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

INSERT INTO tenants (name, created_at) VALUES ('default', 0);

CREATE TABLE accounts (
    id          TEXT PRIMARY KEY NOT NULL,
    -- Absent: the operator's own, which sees every tenant.
    tenant      TEXT REFERENCES tenants (name),
    name        TEXT NOT NULL,
    role        TEXT NOT NULL,
    -- Of an external identity; absent for accounts that live only here.
    issuer      TEXT,
    subject     TEXT,
    created_at  INTEGER NOT NULL,
    disabled_at INTEGER,
    UNIQUE (issuer, subject)
) STRICT;

-- Every token so far becomes an account of its own.
INSERT INTO accounts (id, name, role, created_at) SELECT id, name, role, created_at FROM tokens;
ALTER TABLE tokens ADD COLUMN account_id TEXT REFERENCES accounts (id);
UPDATE tokens SET account_id = id;
CREATE INDEX tokens_by_account ON tokens (account_id);

-- SQLite adds no column that both refers and has a default.
ALTER TABLE devices ADD COLUMN tenant TEXT NOT NULL DEFAULT 'default';
CREATE INDEX devices_by_tenant ON devices (tenant, key);
