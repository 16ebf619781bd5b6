-- The tables of models.db beside the models' own. Instants are RFC 3339 in UTC with microseconds, identities and epochs
-- hexadecimal. Whoever reads models with plain SQL finds how fresh they are in the view `_ek_freshness`.
CREATE TABLE _ek_meta(
  name TEXT PRIMARY KEY,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
-- The key of the rows' digests.
INSERT INTO _ek_meta VALUES('digest_key', randomblob(32));

CREATE TABLE _ek_models(
  model TEXT PRIMARY KEY,
  -- The last generation that any build had. The next goes on from it, so that a step made for a build since dropped does
  -- not fit.
  built INTEGER NOT NULL DEFAULT 0,
  -- Why the rows cannot be brought right by applying events.
  condemned TEXT,
  -- The declaration that a person has rolled back from.
  rolled_back_from TEXT,
  -- How often rows were doubted. A verdict that is better is kept only where it has not grown meanwhile.
  doubts INTEGER NOT NULL DEFAULT 0,
  -- The distance to the log when it was last measured.
  head INTEGER,
  lag_count INTEGER,
  oldest_unapplied TEXT,
  as_of TEXT,
  status TEXT,
  reason TEXT,
  measured_at TEXT
) STRICT;

-- The tables of each model: the live one, the one being built, and the one that the last swap put aside.
CREATE TABLE _ek_tables(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  model TEXT NOT NULL,
  role TEXT NOT NULL,
  schema TEXT NOT NULL,
  -- Grows with every change of the table.
  generation INTEGER NOT NULL DEFAULT 0,
  -- The checkpoint.
  position INTEGER NOT NULL DEFAULT 0,
  epoch TEXT,
  last_event TEXT,
  last_write TEXT,
  applied INTEGER NOT NULL DEFAULT 0,
  ignored INTEGER NOT NULL DEFAULT 0,
  parked INTEGER NOT NULL DEFAULT 0,
  -- What is parked and nobody has given up, summed up from _ek_parks.
  parked_events INTEGER NOT NULL DEFAULT 0,
  oldest_parked TEXT,
  -- What was found out about the rows.
  content_verdict TEXT NOT NULL,
  verified_as_of TEXT,
  bad_buckets INTEGER NOT NULL DEFAULT 0,
  UNIQUE(model, role)
) STRICT;

-- Events that a model could not apply to a row, or that wait behind such a one.
CREATE TABLE _ek_parks(
  table_id INTEGER NOT NULL,
  position INTEGER NOT NULL,
  clause INTEGER NOT NULL,
  element INTEGER NOT NULL,
  key TEXT,
  event_id TEXT NOT NULL,
  state TEXT NOT NULL,
  error TEXT NOT NULL,
  at TEXT NOT NULL,
  -- Who decided about it last, and why.
  decided_by TEXT,
  decision_note TEXT,
  PRIMARY KEY(table_id, position, clause, element)
) STRICT, WITHOUT ROWID;
CREATE INDEX _ek_parks_of_key ON _ek_parks(table_id, key) WHERE state IN ('quarantined', 'held');
CREATE INDEX _ek_parks_since ON _ek_parks(table_id, at) WHERE state IN ('quarantined', 'held');

-- Sums of the digests of the rows that were meant, 64 buckets to a page.
CREATE TABLE _ek_buckets(
  table_id INTEGER NOT NULL,
  page INTEGER NOT NULL,
  sums BLOB NOT NULL,
  PRIMARY KEY(table_id, page)
) STRICT, WITHOUT ROWID;

-- Sums of the identities of the events that were reached, by window of positions.
CREATE TABLE _ek_windows(
  table_id INTEGER NOT NULL,
  window INTEGER NOT NULL,
  sum BLOB NOT NULL,
  PRIMARY KEY(table_id, window)
) STRICT, WITHOUT ROWID;

-- Which events touched which keys, for models whose key is not the subject of their events.
CREATE TABLE _ek_touches(
  table_id INTEGER NOT NULL,
  hash INTEGER NOT NULL,
  position INTEGER NOT NULL,
  PRIMARY KEY(table_id, hash, position)
) STRICT, WITHOUT ROWID;

-- The sum of the entries of that index that were put there, by which it is seen that others took some out.
CREATE TABLE _ek_indexes(
  table_id INTEGER PRIMARY KEY,
  sum BLOB NOT NULL
) STRICT;

-- Rows of live tables that somebody else than the projector has written to: the first of their writes since that was
-- last settled, and the digest that the row had before.
CREATE TABLE _ek_foreign(
  model TEXT NOT NULL,
  key TEXT NOT NULL,
  write TEXT NOT NULL,
  meant BLOB,
  at TEXT NOT NULL,
  PRIMARY KEY(model, key)
) STRICT, WITHOUT ROWID;

-- Who reconciles a model.
CREATE TABLE _ek_leases(
  model TEXT PRIMARY KEY,
  holder TEXT NOT NULL,
  until TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Projectors of the user's own, and what they reported last. No types: all of them.
CREATE TABLE _ek_consumers(
  name TEXT PRIMARY KEY,
  subscribes TEXT NOT NULL,
  max_lag_events INTEGER,
  max_lag_seconds REAL,
  registered_at TEXT NOT NULL,
  position INTEGER,
  epoch TEXT,
  last_write TEXT,
  reported_at TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE _ek_reconciliations(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  model TEXT NOT NULL,
  event_id TEXT,
  source TEXT,
  source_event_id TEXT,
  read_model_last_id TEXT,
  lag_count INTEGER,
  lag_seconds REAL,
  drift_score REAL,
  reconciliation_status TEXT NOT NULL,
  content_verdict TEXT NOT NULL,
  bad_buckets INTEGER NOT NULL,
  reconciliation_method TEXT NOT NULL,
  result TEXT NOT NULL,
  error TEXT,
  rows_repaired INTEGER NOT NULL,
  events_replayed INTEGER NOT NULL,
  unreplayed TEXT NOT NULL,
  verified INTEGER NOT NULL,
  started_at TEXT NOT NULL,
  duration_ms INTEGER NOT NULL,
  -- Under which number its wrong rows are kept: its own, or that of an earlier one that found the same.
  evidence INTEGER,
  -- The position of the snapshot that a rebuild began from, 0 for the start of the log.
  rebuilt_from INTEGER
) STRICT;
CREATE INDEX _ek_reconciliations_of_model ON _ek_reconciliations(model, id);
CREATE INDEX _ek_reconciliations_with_evidence ON _ek_reconciliations(evidence) WHERE evidence IS NOT NULL;

-- The wrong rows that a reconciliation found, as JSON, under the number of the first that found exactly these.
CREATE TABLE _ek_evidence(
  reconciliation INTEGER NOT NULL,
  number INTEGER NOT NULL,
  key TEXT NOT NULL,
  cause TEXT NOT NULL,
  expected TEXT,
  actual TEXT,
  PRIMARY KEY(reconciliation, number)
) STRICT, WITHOUT ROWID;

-- What was decided between writes to a column that did not know each other: winner and loser with their marks and values, as
-- JSON, under the position of the later of the two.
CREATE TABLE _ek_conflicts(
  position INTEGER NOT NULL,
  id TEXT NOT NULL,
  model TEXT NOT NULL,
  model_version INTEGER NOT NULL,
  key TEXT NOT NULL,
  column_name TEXT NOT NULL,
  strategy TEXT NOT NULL,
  relation TEXT NOT NULL,
  rule TEXT NOT NULL,
  winner TEXT NOT NULL,
  loser TEXT NOT NULL,
  at TEXT NOT NULL,
  PRIMARY KEY(position, id, model_version)
) STRICT, WITHOUT ROWID;
CREATE INDEX _ek_conflicts_of_model ON _ek_conflicts(model, position);
CREATE INDEX _ek_conflicts_of_row ON _ek_conflicts(model, key, position);
CREATE INDEX _ek_conflicts_by_id ON _ek_conflicts(id);

-- How fresh each model is. Counts, positions and status are those of `measured_at`; the two ages are of the moment of
-- the query, so they grow when nothing measures any more.
--   model                    the model, and its table
--   status, reason           what the drift monitor said, and why; NULL before it has spoken
--   position, head           how far the model is, and how far the log was; head is NULL before it was measured
--   lag_count                events behind; NULL where not known
--   lag_seconds              age of the oldest event not yet applied; 0 where there is none, NULL where not known
--   staleness_bound_seconds  age of `as_of`: the rows are at most so old
--   as_of                    the latest moment at which everything committed was known to be applied
--   read_model_last_id       the last event the model has reached
--   read_model_last_write    when rows were last written
--   content_verdict          verified, unverified, suspect or drifted
--   verified_as_of           when the rows were last compared with the log
--   parked_events            events that could not be applied, and those that wait behind them
--   measured_at              when the distance was measured
CREATE VIEW _ek_freshness AS SELECT
  m.model AS model,
  status,
  reason,
  position,
  head,
  lag_count,
  CASE WHEN lag_count = 0 THEN 0.0
    ELSE round(max(0.0, (julianday('now') - julianday(oldest_unapplied)) * 86400.0), 3) END AS lag_seconds,
  round(max(0.0, (julianday('now') - julianday(as_of)) * 86400.0), 3) AS staleness_bound_seconds,
  as_of,
  last_event AS read_model_last_id,
  last_write AS read_model_last_write,
  CASE WHEN content_verdict IN ('verified', 'unverified')
    AND (condemned IS NOT NULL OR EXISTS (SELECT 1 FROM _ek_foreign AS f WHERE f.model = m.model)) THEN 'suspect'
    ELSE content_verdict END
    AS content_verdict,
  verified_as_of,
  parked_events,
  measured_at
FROM _ek_models AS m JOIN _ek_tables AS t ON t.model = m.model AND t.role = 'live';
