-- The tables as migrations/sqlite has them after 0050; that folder says what each column is. A later change stands in both
-- folders under one number.
--
-- The same types on both databases: BIGINT for whole numbers, times (milliseconds since 1970 in UTC) and flags (0 or 1), TEXT
-- for words, hashes in hexadecimal and JSON, BYTEA. Texts sort by their bytes (COLLATE "C"), whatever the server's locale.

CREATE TABLE instances (
    name TEXT COLLATE "C" PRIMARY KEY,
    allocated BIGINT NOT NULL DEFAULT 0 CHECK (allocated >= 0),
    state TEXT COLLATE "C",
    capacity BIGINT CHECK (capacity >= 0),
    registrations_per_minute BIGINT CHECK (registrations_per_minute > 0),
    version BIGINT NOT NULL DEFAULT 1,
    id_scope TEXT COLLATE "C" NOT NULL DEFAULT '',
    endpoint TEXT COLLATE "C" NOT NULL DEFAULT ''
);

CREATE TABLE tenants (
    name TEXT COLLATE "C" PRIMARY KEY,
    created_at BIGINT NOT NULL
);

INSERT INTO tenants (name, created_at) VALUES ('default', 0);

CREATE TABLE accounts (
    id TEXT COLLATE "C" PRIMARY KEY,
    tenant TEXT COLLATE "C" REFERENCES tenants (name),
    name TEXT COLLATE "C" NOT NULL,
    role TEXT COLLATE "C" NOT NULL,
    issuer TEXT COLLATE "C",
    subject TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    disabled_at BIGINT,
    UNIQUE (issuer, subject)
);

CREATE TABLE devices (
    key TEXT COLLATE "C" PRIMARY KEY,
    registration_id TEXT COLLATE "C" NOT NULL,
    model TEXT COLLATE "C",
    firmware TEXT COLLATE "C",
    pinned_attestation TEXT COLLATE "C",
    pinned_instance TEXT COLLATE "C",
    lifecycle TEXT COLLATE "C" NOT NULL DEFAULT 'expected',
    dps_instance TEXT COLLATE "C" REFERENCES instances (name),
    attestation TEXT COLLATE "C",
    allocated_at BIGINT,
    handoff_id TEXT COLLATE "C",
    handoff_at BIGINT,
    handoff_open BIGINT NOT NULL DEFAULT 0,
    outcome TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    tenant TEXT COLLATE "C" NOT NULL DEFAULT 'default',
    region TEXT COLLATE "C",
    ring TEXT COLLATE "C" NOT NULL DEFAULT 'production',
    reserved_at BIGINT,
    reserved_until BIGINT,
    handoff_account TEXT COLLATE "C",
    handoff_begun_at BIGINT,
    starts_at BIGINT,
    slot_instance TEXT COLLATE "C",
    slot_taken_at BIGINT,
    site TEXT COLLATE "C",
    endorsement_key TEXT COLLATE "C",
    import_id TEXT COLLATE "C",
    import_row BIGINT,
    reprovision TEXT COLLATE "C",
    version BIGINT NOT NULL DEFAULT 1,
    -- PostgreSQL 14 to 17 have no virtual ones.
    name TEXT COLLATE "C" GENERATED ALWAYS AS (lower(registration_id COLLATE "C")) STORED,
    schedule_from BIGINT
);

CREATE INDEX devices_by_instance ON devices (dps_instance);
CREATE INDEX devices_by_tenant ON devices (tenant, key);
CREATE INDEX devices_reserved ON devices (reserved_until) WHERE allocated_at IS NULL AND dps_instance IS NOT NULL;
CREATE UNIQUE INDEX devices_by_name ON devices (name, tenant);
CREATE UNIQUE INDEX devices_placed_by_name ON devices (name) WHERE dps_instance IS NOT NULL;

CREATE FUNCTION devices_counted_in() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE instances SET allocated = allocated - 1 WHERE name = OLD.dps_instance;
    UPDATE instances SET allocated = allocated + 1 WHERE name = NEW.dps_instance;
    RETURN NULL;
END $$;

CREATE TRIGGER devices_counted_in AFTER UPDATE OF dps_instance ON devices FOR EACH ROW
WHEN (NEW.dps_instance IS DISTINCT FROM OLD.dps_instance) EXECUTE FUNCTION devices_counted_in();

CREATE FUNCTION devices_counted_out() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE instances SET allocated = allocated - 1 WHERE name = OLD.dps_instance;
    RETURN NULL;
END $$;

CREATE TRIGGER devices_counted_out AFTER DELETE ON devices FOR EACH ROW
WHEN (OLD.dps_instance IS NOT NULL) EXECUTE FUNCTION devices_counted_out();

CREATE FUNCTION devices_versioned() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := OLD.version + 1;
    RETURN NEW;
END $$;

CREATE TRIGGER devices_versioned BEFORE UPDATE OF updated_at, lifecycle, tenant, dps_instance ON devices
FOR EACH ROW EXECUTE FUNCTION devices_versioned();

CREATE TABLE held_names (
    name TEXT COLLATE "C" PRIMARY KEY,
    device_key TEXT COLLATE "C" NOT NULL
);

CREATE FUNCTION names_are_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO held_names (name, device_key) VALUES (NEW.name, NEW.key) ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE TRIGGER names_are_kept AFTER UPDATE OF allocated_at ON devices FOR EACH ROW
WHEN (NEW.allocated_at IS NOT NULL) EXECUTE FUNCTION names_are_kept();

CREATE FUNCTION names_are_not_given_twice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- A generated column has no value yet.
    IF EXISTS (SELECT 1 FROM held_names
               WHERE name = lower(NEW.registration_id COLLATE "C") AND device_key <> NEW.key) THEN
        RAISE EXCEPTION 'another device has this registration ID';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER names_are_not_given_twice BEFORE UPDATE OF dps_instance, allocated_at ON devices FOR EACH ROW
WHEN (NEW.dps_instance IS NOT NULL) EXECUTE FUNCTION names_are_not_given_twice();

CREATE TABLE held_owners (
    device_key TEXT COLLATE "C" NOT NULL REFERENCES devices (key) ON DELETE CASCADE,
    tenant TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (device_key, tenant)
);

CREATE TABLE outcomes (
    device_key TEXT COLLATE "C" NOT NULL REFERENCES devices (key) ON DELETE CASCADE,
    handoff_id TEXT COLLATE "C" NOT NULL,
    outcome TEXT COLLATE "C" NOT NULL,
    recorded_at BIGINT NOT NULL,
    PRIMARY KEY (device_key, handoff_id)
);

CREATE TABLE enrollment_groups (
    dps_instance TEXT COLLATE "C" NOT NULL,
    attestation TEXT COLLATE "C" NOT NULL,
    group_id TEXT COLLATE "C" NOT NULL,
    etag TEXT COLLATE "C",
    verified_at BIGINT NOT NULL,
    PRIMARY KEY (dps_instance, attestation)
);

CREATE TABLE slots (
    dps_instance TEXT COLLATE "C" NOT NULL REFERENCES instances (name),
    minute BIGINT NOT NULL,
    taken BIGINT NOT NULL CHECK (taken >= 0),
    PRIMARY KEY (dps_instance, minute)
);

CREATE TABLE authorities (
    fingerprint TEXT COLLATE "C" PRIMARY KEY,
    certificate BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL DEFAULT 'current' CHECK (state IN ('next', 'current', 'former', 'removed')),
    from_files BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE certificates (
    serial TEXT COLLATE "C" PRIMARY KEY,
    device_key TEXT COLLATE "C" NOT NULL,
    handoff_id TEXT COLLATE "C" NOT NULL,
    authority TEXT COLLATE "C" NOT NULL,
    csr_sha256 TEXT COLLATE "C" NOT NULL,
    certificate BYTEA NOT NULL,
    not_after BIGINT NOT NULL,
    issued_at BIGINT NOT NULL,
    revoked_at BIGINT,
    revoked_why TEXT COLLATE "C",
    UNIQUE (device_key, handoff_id, authority, csr_sha256)
);

CREATE INDEX certificates_by_authority ON certificates (authority, not_after);

CREATE TABLE secrets (
    name TEXT COLLATE "C" PRIMARY KEY,
    nonce BYTEA NOT NULL,
    ciphertext BYTEA NOT NULL
);

CREATE TABLE settings (
    name TEXT COLLATE "C" PRIMARY KEY,
    value TEXT COLLATE "C" NOT NULL
);

CREATE TABLE invites (
    id TEXT COLLATE "C" PRIMARY KEY,
    hash BYTEA NOT NULL UNIQUE,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    made_by TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    used_challenge TEXT COLLATE "C",
    withdrawn_at BIGINT
);

CREATE INDEX invites_by_account ON invites (account_id);

CREATE TABLE sessions (
    id TEXT COLLATE "C" PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    client_id TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    ended_at BIGINT,
    ended_why TEXT COLLATE "C"
);

CREATE INDEX sessions_by_account ON sessions (account_id);

CREATE TABLE tokens (
    id TEXT COLLATE "C" PRIMARY KEY,
    hash BYTEA NOT NULL UNIQUE,
    role TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    account_id TEXT COLLATE "C" REFERENCES accounts (id),
    session_id TEXT COLLATE "C" REFERENCES sessions (id)
);

CREATE INDEX tokens_by_account ON tokens (account_id);
CREATE INDEX tokens_by_session ON tokens (session_id);
CREATE INDEX tokens_by_end ON tokens (expires_at);

CREATE TABLE authorization_codes (
    hash BYTEA PRIMARY KEY,
    invite_id TEXT COLLATE "C" NOT NULL REFERENCES invites (id),
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    client_id TEXT COLLATE "C" NOT NULL,
    redirect_uri TEXT COLLATE "C",
    code_challenge TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT NOT NULL,
    session_id TEXT COLLATE "C" REFERENCES sessions (id)
);

CREATE INDEX authorization_codes_by_invite ON authorization_codes (invite_id);
CREATE INDEX authorization_codes_by_end ON authorization_codes (expires_at);

CREATE TABLE device_authorizations (
    hash BYTEA PRIMARY KEY,
    user_code BYTEA NOT NULL UNIQUE,
    client_id TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT NOT NULL,
    pause BIGINT NOT NULL,
    polled_at BIGINT,
    account_id TEXT COLLATE "C" REFERENCES accounts (id),
    session_id TEXT COLLATE "C" REFERENCES sessions (id)
);

CREATE INDEX device_authorizations_by_end ON device_authorizations (expires_at);

CREATE TABLE refresh_tokens (
    hash BYTEA PRIMARY KEY,
    session_id TEXT COLLATE "C" NOT NULL REFERENCES sessions (id),
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    replaced_by BYTEA,
    void BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);
CREATE INDEX refresh_tokens_by_end ON refresh_tokens (expires_at);

CREATE TABLE work_orders (
    number BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    tenant TEXT COLLATE "C" NOT NULL,
    site TEXT COLLATE "C" NOT NULL,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    state TEXT COLLATE "C" NOT NULL DEFAULT 'open',
    state_at BIGINT NOT NULL,
    any_model TEXT COLLATE "C",
    at_most BIGINT CHECK (at_most >= 0),
    taken BIGINT NOT NULL DEFAULT 0 CHECK (taken >= 0),
    opens BIGINT,
    closes BIGINT,
    hours_from TEXT COLLATE "C",
    hours_until TEXT COLLATE "C",
    time_zone TEXT COLLATE "C",
    schedule BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL DEFAULT 1
);

CREATE INDEX work_orders_by_installer ON work_orders (account_id, state);

CREATE TABLE work_order_devices (
    order_id TEXT COLLATE "C" NOT NULL REFERENCES work_orders (id) ON DELETE CASCADE,
    device_key TEXT COLLATE "C" NOT NULL REFERENCES devices (key) ON DELETE CASCADE,
    added_at BIGINT NOT NULL,
    taken BIGINT NOT NULL DEFAULT 0,
    offline_at BIGINT,
    PRIMARY KEY (order_id, device_key)
);

CREATE INDEX work_order_devices_by_device ON work_order_devices (device_key);

CREATE TABLE imports (
    id TEXT COLLATE "C" PRIMARY KEY,
    tenant TEXT COLLATE "C" NOT NULL REFERENCES tenants (name),
    who TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    committed_rows BIGINT NOT NULL DEFAULT 0,
    prefix_hash TEXT COLLATE "C" NOT NULL,
    added BIGINT NOT NULL DEFAULT 0,
    already_there BIGINT NOT NULL DEFAULT 0,
    bad_rows BIGINT NOT NULL DEFAULT 0,
    rows_seen BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    schedule_from BIGINT,
    scheduled BIGINT NOT NULL DEFAULT 0,
    first_slot BIGINT,
    last_slot BIGINT
);

CREATE TABLE import_problems (
    import_id TEXT COLLATE "C" NOT NULL REFERENCES imports (id) ON DELETE CASCADE,
    row_number BIGINT NOT NULL,
    line BIGINT NOT NULL,
    column_name TEXT COLLATE "C" NOT NULL,
    code TEXT COLLATE "C" NOT NULL,
    text TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (import_id, row_number, column_name)
);

CREATE TABLE transfers (
    id TEXT COLLATE "C" PRIMARY KEY,
    device_key TEXT COLLATE "C" NOT NULL REFERENCES devices (key) ON DELETE CASCADE,
    from_tenant TEXT COLLATE "C" NOT NULL,
    to_tenant TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    offered_by TEXT COLLATE "C" NOT NULL,
    offered_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_by TEXT COLLATE "C",
    ended_at BIGINT
);

CREATE UNIQUE INDEX transfers_one_offer ON transfers (device_key) WHERE state = 'offered';
CREATE INDEX transfers_by_receiver ON transfers (to_tenant, state);

CREATE TABLE outbox (
    id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    device_key TEXT COLLATE "C" NOT NULL,
    registration_id TEXT COLLATE "C" NOT NULL,
    dps_instance TEXT COLLATE "C" NOT NULL,
    task TEXT COLLATE "C" NOT NULL,
    detail TEXT COLLATE "C",
    who TEXT COLLATE "C" NOT NULL,
    waits BIGINT NOT NULL DEFAULT 0,
    tries BIGINT NOT NULL DEFAULT 0,
    due_at BIGINT NOT NULL,
    taken_until BIGINT NOT NULL DEFAULT 0,
    last_error TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    done_at BIGINT
);

CREATE INDEX outbox_open ON outbox (due_at) WHERE done_at IS NULL;
CREATE INDEX outbox_by_device ON outbox (device_key, id);

CREATE TABLE events (
    -- Given by events.rs: the numbers have no gaps.
    id BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    who TEXT COLLATE "C" NOT NULL,
    what TEXT COLLATE "C" NOT NULL,
    device_key TEXT COLLATE "C",
    handoff_id TEXT COLLATE "C",
    detail TEXT COLLATE "C",
    tenant TEXT COLLATE "C",
    reason TEXT COLLATE "C",
    hash TEXT COLLATE "C"
);

CREATE INDEX events_by_device ON events (device_key, id);
CREATE INDEX events_by_tenant ON events (tenant, id);
CREATE INDEX events_by_who ON events (who, id);

CREATE FUNCTION events_are_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events are append-only';
END $$;

-- An event that has no hash yet may be given one; nothing else of it changes.
CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events FOR EACH ROW
WHEN (OLD.hash IS NOT NULL OR NEW.hash IS NULL
    OR (NEW.id, NEW.at, NEW.who, NEW.what, NEW.device_key, NEW.handoff_id, NEW.tenant, NEW.reason, NEW.detail)
        IS DISTINCT FROM
       (OLD.id, OLD.at, OLD.who, OLD.what, OLD.device_key, OLD.handoff_id, OLD.tenant, OLD.reason, OLD.detail))
EXECUTE FUNCTION events_are_append_only();

CREATE TRIGGER events_are_not_removed BEFORE DELETE ON events FOR EACH ROW EXECUTE FUNCTION events_are_append_only();
CREATE TRIGGER events_are_not_emptied BEFORE TRUNCATE ON events FOR EACH STATEMENT EXECUTE FUNCTION events_are_append_only();

CREATE TABLE audit_head (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    event_id BIGINT NOT NULL,
    hash TEXT COLLATE "C" NOT NULL,
    turn BIGINT NOT NULL DEFAULT 0
);

INSERT INTO audit_head (one, event_id, hash)
VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');
