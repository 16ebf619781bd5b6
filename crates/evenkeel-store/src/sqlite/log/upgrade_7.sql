-- From format 6 to 7: events have stamps and marks, and what depends on what has not come yet waits. What was recorded before
-- was counted by the log, and its stamp is when it was recorded.
ALTER TABLE events ADD COLUMN hlc INTEGER;
ALTER TABLE events ADD COLUMN seq INTEGER;
ALTER TABLE events ADD COLUMN delivery INTEGER NOT NULL DEFAULT 0;
CREATE INDEX events_dot ON events(source, seq) WHERE delivery > 0;
CREATE INDEX events_exception ON events(source, seq) WHERE delivery = 2;
ALTER TABLE quarantine ADD COLUMN hlc INTEGER;
ALTER TABLE quarantine ADD COLUMN recall_source TEXT;
ALTER TABLE quarantine ADD COLUMN recall_seq INTEGER;
CREATE INDEX quarantine_recall ON quarantine(recall_source, recall_seq)
  WHERE recall_source IS NOT NULL AND state = 'quarantined';
CREATE TABLE clock(
  one INTEGER PRIMARY KEY CHECK(one = 1),
  hlc INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  waiting_events INTEGER NOT NULL,
  waiting_bytes INTEGER NOT NULL
) STRICT;
INSERT INTO clock SELECT 1, max(0, ifnull(max(recorded_at), 0) / 1000 + 1) << 16, ifnull(max(position), 0), 0, 0 FROM events;
CREATE TABLE passed(
  source TEXT PRIMARY KEY,
  upto INTEGER NOT NULL,
  holes TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE waiting(
  source TEXT NOT NULL,
  seq INTEGER NOT NULL,
  event_id BLOB NOT NULL UNIQUE,
  digest BLOB NOT NULL,
  raw_id TEXT NOT NULL,
  raw BLOB NOT NULL,
  type TEXT NOT NULL,
  contract_version INTEGER NOT NULL,
  subject TEXT NOT NULL,
  time INTEGER,
  extensions TEXT,
  data TEXT NOT NULL,
  causes TEXT NOT NULL,
  hlc INTEGER NOT NULL,
  since INTEGER NOT NULL,
  on_source TEXT NOT NULL,
  on_seq INTEGER NOT NULL,
  PRIMARY KEY(source, seq)
) STRICT;
CREATE INDEX waiting_on ON waiting(on_source, on_seq);
CREATE INDEX waiting_since ON waiting(since, source, seq);
CREATE TABLE skips(
  number INTEGER PRIMARY KEY,
  source TEXT NOT NULL,
  first INTEGER NOT NULL,
  last INTEGER NOT NULL,
  author TEXT NOT NULL,
  note TEXT NOT NULL,
  at INTEGER NOT NULL
) STRICT;
