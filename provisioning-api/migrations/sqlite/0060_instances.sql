-- What the service's configuration says of an instance, as the allocation goes by it (JSON): for the command line, which has
-- no such files. Absent: the service that started last does not know the instance.
ALTER TABLE instances ADD COLUMN configured TEXT;
-- The credential policy that an administrator chose; empty: none; absent: the configuration's.
ALTER TABLE instances ADD COLUMN certificate_policy TEXT;
