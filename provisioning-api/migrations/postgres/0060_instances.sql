-- As migrations/sqlite/0060_instances.sql, where each column is explained.
ALTER TABLE instances ADD COLUMN configured TEXT COLLATE "C";
ALTER TABLE instances ADD COLUMN certificate_policy TEXT COLLATE "C";
