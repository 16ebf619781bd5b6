-- From format 2 to 3: entries of the quarantine have versions and edits.
ALTER TABLE quarantine ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
CREATE TABLE edits(
  entry INTEGER NOT NULL,
  number INTEGER NOT NULL,
  patch TEXT NOT NULL,
  author TEXT NOT NULL,
  note TEXT NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY(entry, number)
) STRICT, WITHOUT ROWID;
