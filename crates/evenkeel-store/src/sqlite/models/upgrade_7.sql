-- Since when the oldest parked event waits is found without reading all of them.
CREATE INDEX _ek_parks_since ON _ek_parks(table_id, at) WHERE state IN ('quarantined', 'held');
