-- What was decided between writes that did not know each other. Rows that are there keep no marks yet: their models are
-- rebuilt, since what decides their rows has changed.
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
