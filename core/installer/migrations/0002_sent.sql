-- What the device was sent, where an administrator's settings may have replaced what the API gave.
ALTER TABLE pairing ADD COLUMN sent_id_scope TEXT;
ALTER TABLE pairing ADD COLUMN sent_endpoint TEXT;
