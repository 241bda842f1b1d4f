-- The embedded authorization server. Codes and tokens stand here as their SHA-256 only.

-- What the service says of itself, for the commands that run beside it.
CREATE TABLE settings (
    name  TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE invites (
    id             TEXT PRIMARY KEY NOT NULL,
    hash           BLOB NOT NULL UNIQUE,
    account_id     TEXT NOT NULL REFERENCES accounts (id),
    made_by        TEXT NOT NULL,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    used_at        INTEGER,
    -- By whom it was used: an app that lost the answer asks again with the same challenge, nobody else can.
    used_challenge TEXT,
    withdrawn_at   INTEGER
) STRICT;

CREATE INDEX invites_by_account ON invites (account_id);

-- What one sign-in began: all tokens that come from it end together.
CREATE TABLE sessions (
    id         TEXT PRIMARY KEY NOT NULL,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    client_id  TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    ended_at   INTEGER,
    ended_why  TEXT
) STRICT;

CREATE INDEX sessions_by_account ON sessions (account_id);

CREATE TABLE authorization_codes (
    hash           BLOB PRIMARY KEY NOT NULL,
    invite_id      TEXT NOT NULL REFERENCES invites (id),
    account_id     TEXT NOT NULL REFERENCES accounts (id),
    client_id      TEXT NOT NULL,
    redirect_uri   TEXT,
    code_challenge TEXT NOT NULL,
    expires_at     INTEGER NOT NULL,
    session_id     TEXT REFERENCES sessions (id)
) STRICT;

CREATE INDEX authorization_codes_by_invite ON authorization_codes (invite_id);

CREATE TABLE device_authorizations (
    hash       BLOB PRIMARY KEY NOT NULL,
    -- The hash of what a person types.
    user_code  BLOB NOT NULL UNIQUE,
    client_id  TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    -- Milliseconds that must lie between two polls.
    pause      INTEGER NOT NULL,
    polled_at  INTEGER,
    account_id TEXT REFERENCES accounts (id),
    session_id TEXT REFERENCES sessions (id)
) STRICT;

CREATE TABLE refresh_tokens (
    hash        BLOB PRIMARY KEY NOT NULL,
    session_id  TEXT NOT NULL REFERENCES sessions (id),
    expires_at  INTEGER NOT NULL,
    -- When it was given up for its successor first.
    used_at     INTEGER,
    -- The hash of the successor that counts.
    replaced_by BLOB,
    -- A successor that a retried request put another in the place of.
    void        INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);

-- Access tokens that a sign-in gave; those of the command line have none.
ALTER TABLE tokens ADD COLUMN session_id TEXT REFERENCES sessions (id);
CREATE INDEX tokens_by_session ON tokens (session_id);

-- For removing what is over.
CREATE INDEX tokens_by_end ON tokens (expires_at);
CREATE INDEX refresh_tokens_by_end ON refresh_tokens (expires_at);
CREATE INDEX authorization_codes_by_end ON authorization_codes (expires_at);
CREATE INDEX device_authorizations_by_end ON device_authorizations (expires_at);
