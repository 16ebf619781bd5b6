-- The tables of models.db beside the models' own. Instants are RFC 3339 in UTC with microseconds, identities and epochs
-- hexadecimal. Whoever reads models with plain SQL finds how fresh they are in the view `_ek_freshness`.
CREATE TABLE _ek_models(
  model TEXT PRIMARY KEY,
  -- Of the live table: its shape, and a number that grows with every change of it.
  schema TEXT NOT NULL,
  generation INTEGER NOT NULL DEFAULT 0,
  -- The same number of the table being built. It goes on growing from build to build, so that a step made for a build
  -- since dropped does not fit the next.
  build_generation INTEGER NOT NULL DEFAULT 0,
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
  content_verdict TEXT NOT NULL,
  verified_as_of TEXT,
  -- The distance to the log when it was last measured.
  head INTEGER,
  lag_count INTEGER,
  oldest_unapplied TEXT,
  as_of TEXT,
  status TEXT,
  reason TEXT,
  measured_at TEXT
) STRICT;

CREATE TABLE _ek_builds(
  model TEXT PRIMARY KEY,
  schema TEXT NOT NULL,
  position INTEGER NOT NULL DEFAULT 0,
  epoch TEXT,
  last_event TEXT,
  last_write TEXT,
  applied INTEGER NOT NULL DEFAULT 0,
  ignored INTEGER NOT NULL DEFAULT 0,
  parked INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Events that a model could not apply to a row, or that wait behind such a one. `build` is 1 for the table being built.
CREATE TABLE _ek_parks(
  model TEXT NOT NULL,
  build INTEGER NOT NULL,
  position INTEGER NOT NULL,
  clause INTEGER NOT NULL,
  element INTEGER NOT NULL,
  key TEXT,
  event_id TEXT NOT NULL,
  state TEXT NOT NULL,
  error TEXT NOT NULL,
  at TEXT NOT NULL,
  PRIMARY KEY(model, build, position, clause, element)
) STRICT, WITHOUT ROWID;
CREATE INDEX _ek_parks_of_key ON _ek_parks(model, build, key) WHERE state IN ('quarantined', 'held');

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
  reconciliation_method TEXT NOT NULL,
  result TEXT NOT NULL,
  error TEXT,
  rows_repaired INTEGER NOT NULL,
  events_replayed INTEGER NOT NULL,
  unreplayed TEXT NOT NULL,
  verified INTEGER NOT NULL,
  started_at TEXT NOT NULL,
  duration_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX _ek_reconciliations_of_model ON _ek_reconciliations(model, id);

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
  model,
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
  content_verdict,
  verified_as_of,
  parked_events,
  measured_at
FROM _ek_models;
