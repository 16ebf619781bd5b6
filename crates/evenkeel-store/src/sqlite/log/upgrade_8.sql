-- From format 7 to 8: what writers had seen by their tokens is kept with their events, wherever these are. Of those that are
-- there already it is not known. Exceptions are kept in a table by which the greatest stamp up to a number is found at once.
ALTER TABLE events ADD COLUMN saw INTEGER;
ALTER TABLE events ADD COLUMN request INTEGER;
ALTER TABLE quarantine ADD COLUMN saw INTEGER;
ALTER TABLE quarantine ADD COLUMN request INTEGER;
ALTER TABLE waiting ADD COLUMN saw INTEGER;
ALTER TABLE waiting ADD COLUMN request INTEGER;
DROP INDEX events_exception;
CREATE TABLE exceptions(
  source TEXT NOT NULL,
  seq INTEGER NOT NULL,
  hlc INTEGER NOT NULL,
  PRIMARY KEY(source, seq)
) STRICT, WITHOUT ROWID;
INSERT INTO exceptions SELECT source, seq, hlc FROM (
  SELECT source, seq, hlc, max(hlc) OVER (
    PARTITION BY source ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
  FROM events WHERE delivery = 2)
WHERE before IS NULL OR before < hlc;
