-- The tables of log.db. Instants are microseconds since 1970 in UTC, identities and digests 32 bytes; the view `log`
-- shows events with both as text.
CREATE TABLE meta(
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- A stream is the events of one subject. Its version is that of its last event.
CREATE TABLE streams(
  id INTEGER PRIMARY KEY,
  subject TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE events(
  position INTEGER PRIMARY KEY,
  event_id BLOB NOT NULL UNIQUE,
  stream_id INTEGER NOT NULL,
  stream_version INTEGER NOT NULL,
  type TEXT NOT NULL,
  source TEXT NOT NULL,
  raw_id TEXT NOT NULL,
  time INTEGER,
  recorded_at INTEGER NOT NULL,
  contract_version INTEGER NOT NULL,
  digest BLOB NOT NULL,
  extensions TEXT,
  data TEXT NOT NULL,
  -- The stamp as a number, the event's number among those of whoever counts it, and how it was delivered: 0 the log counts
  -- it, 1 its source does, 2 as 1 and its place was given up before it came.
  hlc INTEGER,
  seq INTEGER,
  delivery INTEGER NOT NULL DEFAULT 0,
  -- Of an event that was sent with a consistency token: the last position that the token spoke of, and the stamp of the
  -- request, which its other events have too.
  saw INTEGER,
  request INTEGER,
  UNIQUE(stream_id, stream_version)
) STRICT;
CREATE INDEX events_dot ON events(source, seq) WHERE delivery > 0;

-- Of the exceptions those that have a greater stamp than all of their source with lesser numbers: the greatest stamp of any up
-- to a number is that of the last one here.
CREATE TABLE exceptions(
  source TEXT NOT NULL,
  seq INTEGER NOT NULL,
  hlc INTEGER NOT NULL,
  PRIMARY KEY(source, seq)
) STRICT, WITHOUT ROWID;

-- How many events of each type there are, kept in the transaction that appends them.
CREATE TABLE event_types(
  type TEXT PRIMARY KEY,
  count INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Sums of the identities of the events of each type, by window of positions, kept in the same transaction.
CREATE TABLE windows(
  window INTEGER NOT NULL,
  type TEXT NOT NULL,
  sum BLOB NOT NULL,
  PRIMARY KEY(window, type)
) STRICT, WITHOUT ROWID;

CREATE TABLE quarantine(
  id INTEGER PRIMARY KEY,
  event_id BLOB NOT NULL,
  digest BLOB NOT NULL,
  source TEXT NOT NULL,
  raw_id TEXT NOT NULL,
  raw BLOB NOT NULL,
  state TEXT NOT NULL,
  reason TEXT NOT NULL,
  detail TEXT NOT NULL,
  pointer TEXT,
  contract TEXT,
  contract_version INTEGER,
  subject TEXT,
  park_key TEXT,
  received_at INTEGER NOT NULL,
  changed_at INTEGER NOT NULL,
  position INTEGER,
  decided_by TEXT,
  decision_note TEXT,
  version INTEGER NOT NULL DEFAULT 1,
  hlc INTEGER,
  -- The first of the events it waits for: once that was passed, it is sent through again.
  recall_source TEXT,
  recall_seq INTEGER,
  saw INTEGER,
  request INTEGER
) STRICT;
CREATE INDEX quarantine_recall ON quarantine(recall_source, recall_seq)
  WHERE recall_source IS NOT NULL AND state = 'quarantined';
CREATE INDEX quarantine_identity ON quarantine(event_id);
CREATE INDEX quarantine_line ON quarantine(park_key, id) WHERE park_key IS NOT NULL AND state IN ('quarantined', 'held');
CREATE INDEX quarantine_subject ON quarantine(contract, subject) WHERE state IN ('quarantined', 'held');
CREATE INDEX quarantine_untrusted ON quarantine(source)
  WHERE reason = 'untrusted_source' AND state IN ('quarantined', 'held');

-- What persons changed about events in quarantine: JSON Patches in their order, from 1. The event itself stays as it is.
CREATE TABLE edits(
  entry INTEGER NOT NULL,
  number INTEGER NOT NULL,
  patch TEXT NOT NULL,
  author TEXT NOT NULL,
  note TEXT NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY(entry, number)
) STRICT, WITHOUT ROWID;

-- What became of the events of each source, kept in the transaction that decides.
CREATE TABLE accounts(
  source TEXT PRIMARY KEY,
  received INTEGER NOT NULL,
  admitted INTEGER NOT NULL,
  duplicate INTEGER NOT NULL,
  waiting INTEGER NOT NULL,
  quarantined INTEGER NOT NULL,
  held INTEGER NOT NULL,
  discarded INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Events as they were sent, those of neighbouring positions packed together: each as its position (8 bytes, the lowest
-- first), its length (4 bytes) and its bytes, and all of that as one Zstandard frame. They are forgotten after a time.
CREATE TABLE raws(
  first INTEGER PRIMARY KEY,
  last INTEGER NOT NULL,
  count INTEGER NOT NULL,
  recorded_at INTEGER NOT NULL,
  length INTEGER NOT NULL,
  pack BLOB NOT NULL
) STRICT;
CREATE INDEX raws_age ON raws(recorded_at);

-- The log's clock, written with what it gives its stamps to.
CREATE TABLE clock(
  one INTEGER PRIMARY KEY CHECK(one = 1),
  hlc INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  waiting_events INTEGER NOT NULL,
  waiting_bytes INTEGER NOT NULL
) STRICT;
INSERT INTO clock VALUES(1, 0, 0, 0, 0);

-- How far each source is, with what was given up after that: [[first, last], …].
CREATE TABLE passed(
  source TEXT PRIMARY KEY,
  upto INTEGER NOT NULL,
  holes TEXT
) STRICT, WITHOUT ROWID;

-- Events that wait for what they depend on, each under the first event it lacks.
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
  saw INTEGER,
  request INTEGER,
  PRIMARY KEY(source, seq)
) STRICT;
CREATE INDEX waiting_on ON waiting(on_source, on_seq);
CREATE INDEX waiting_since ON waiting(since, source, seq);

-- Events that persons declared not to come.
CREATE TABLE skips(
  number INTEGER PRIMARY KEY,
  source TEXT NOT NULL,
  first INTEGER NOT NULL,
  last INTEGER NOT NULL,
  author TEXT NOT NULL,
  note TEXT NOT NULL,
  at INTEGER NOT NULL
) STRICT;

CREATE VIEW log AS SELECT
  position,
  lower(hex(event_id)) AS event_id,
  source,
  raw_id,
  type,
  contract_version,
  subject,
  stream_version,
  strftime('%Y-%m-%dT%H:%M:%S', (time - (time % 1000000 + 1000000) % 1000000) / 1000000, 'unixepoch')
    || printf('.%06dZ', (time % 1000000 + 1000000) % 1000000) AS time,
  strftime('%Y-%m-%dT%H:%M:%S', (recorded_at - (recorded_at % 1000000 + 1000000) % 1000000) / 1000000, 'unixepoch')
    || printf('.%06dZ', (recorded_at % 1000000 + 1000000) % 1000000) AS recorded_time,
  extensions,
  data,
  lower(hex(digest)) AS digest
FROM events JOIN streams ON streams.id = events.stream_id;
