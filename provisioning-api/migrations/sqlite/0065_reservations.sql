-- For giving back what was reserved before the clock was put back.
CREATE INDEX devices_reserved_at ON devices (reserved_at) WHERE allocated_at IS NULL AND dps_instance IS NOT NULL;
