-- From format 5 to 6: events as they were sent are kept for a time. Of those that are there already they are not known.
CREATE TABLE raws(
  first INTEGER PRIMARY KEY,
  last INTEGER NOT NULL,
  count INTEGER NOT NULL,
  recorded_at INTEGER NOT NULL,
  length INTEGER NOT NULL,
  pack BLOB NOT NULL
) STRICT;
CREATE INDEX raws_age ON raws(recorded_at);
